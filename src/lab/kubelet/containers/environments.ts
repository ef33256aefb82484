import { apiServerPort } from '../../layout.ts'
import type { Container, Pod } from '../pod-spec.ts'
import type { Surroundings } from '../surroundings.ts'
import { environmentOf } from './environment.ts'

type Environment = Readonly<Record<string, string>>

/** The environments of the containers that run. Commands that are run in a container have the same. */
export class Environments {
  readonly #surroundings: Surroundings
  readonly #environments = new Map<string, Environment>()

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings
  }

  get(uid: string, container: string): Environment | undefined {
    return this.#environments.get(`${uid}/${container}`)
  }

  async make(pod: Pod, container: Container, podIPs: readonly string[]): Promise<Environment> {
    const { client, nodeIP, apiServerHost, allocatable } = this.#surroundings
    const given = {
      HOSTNAME: pod.metadata.name,
      KUBERNETES_SERVICE_HOST: apiServerHost,
      KUBERNETES_SERVICE_PORT: String(apiServerPort),
    }
    const addresses = { podIPs, hostIPs: [nodeIP] }
    const environment = await environmentOf(client, pod, container, addresses, allocatable, given)
    this.#environments.set(`${pod.metadata.uid}/${container.name}`, environment)
    return environment
  }

  forget(uid: string): void {
    for (const key of this.#environments.keys()) if (key.startsWith(uid)) this.#environments.delete(key)
  }
}
