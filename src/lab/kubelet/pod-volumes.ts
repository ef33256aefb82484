import { chmodSync, existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { Mirror } from '../../kube/mirror.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/log.ts'
import type { Container, Pod, Volume } from './pod-spec.ts'
import { stateDirectory, writeVolume } from './sandbox.ts'

interface ConfigMap extends KubeObject {
  readonly data?: Readonly<Record<string, string>>
}

export interface Bind {
  readonly source: string
  readonly target: string
  /** What the container mounts there is the node's, too. */
  readonly isBidirectional: boolean
}

interface PodVolumesOptions {
  readonly client: KubeClient
  readonly ca: string
  readonly clock: Clock
  readonly log: Logger
}

const tokenSeconds = 3600
const tokenRefreshMs = 600_000

/** Nodes have these for themselves; a folder made elsewhere would appear on the machine, and stay. */
const ownFolders = ['/etc', '/opt', '/run', '/var/run']

/** The folders that containers see: written here, bound to their paths, and kept up to date while the pod lives. */
export class PodVolumes {
  readonly #options: PodVolumesOptions
  readonly #configMaps: Mirror<ConfigMap, Readonly<Record<string, string>>>
  readonly #tokenWrittenMs = new Map<string, number>()

  constructor(options: PodVolumesOptions, onChange: () => void) {
    const { client, clock, log } = options
    this.#options = options
    this.#configMaps = new Mirror(client.resource<ConfigMap>(coreResource('configmaps', true)), {
      clock,
      log,
      trim: ({ data = {} }) => data,
      onChange,
    })
  }

  start(signal: AbortSignal): Promise<void> {
    return this.#configMaps.start(signal)
  }

  /** What is to be mounted where. Throws with the volume's name where that cannot be. */
  async bindsOf(pod: Pod, uid: string, container: Container): Promise<readonly Bind[]> {
    await this.#configMaps.synced
    await this.refresh(pod, uid)
    const binds = (container.volumeMounts ?? []).map(({ name, mountPath, mountPropagation }) => {
      requirePath(mountPath)
      const volume = pod.spec.volumes?.find((each) => each.name === name)
      if (volume === undefined) throw new Error(`the pod has no volume ${name}`)
      const source = this.#sourceOf(uid, volume)
      const isBidirectional = mountPropagation === 'Bidirectional'
      if (isBidirectional && source !== mountPath)
        throw new Error(`volume ${name}: the lab has Bidirectional only where a folder keeps its path`)
      return { source, target: mountPath, isBidirectional }
    })
    const serviceAccount = {
      source: join(directoryOf(uid), 'service-account'),
      target: '/run/secrets/kubernetes.io/serviceaccount',
      isBidirectional: false,
    }
    return [...binds, serviceAccount]
  }

  #sourceOf(uid: string, { name, hostPath, emptyDir, configMap }: Volume): string {
    if (hostPath !== undefined) {
      requirePath(hostPath.path)
      if (hostPath.type === 'DirectoryOrCreate') mkdirSync(hostPath.path, { recursive: true })
      return hostPath.path
    }
    if (emptyDir === undefined && configMap === undefined)
      throw new Error(`volume ${name}: the lab knows hostPath, emptyDir and configMap`)
    const directory = join(directoryOf(uid), name)
    mkdirSync(directory, { recursive: true })
    /* Whoever the container runs as may write there. */
    if (emptyDir !== undefined) chmodSync(directory, 0o777)
    return directory
  }

  /** Changed ConfigMaps at once, the token long before it expires. */
  async refresh(pod: Pod, uid: string): Promise<void> {
    const { namespace = 'default' } = pod.metadata
    for (const { name, configMap } of pod.spec.volumes ?? []) {
      if (configMap === undefined) continue
      const data = this.#configMaps.items.get(`${namespace}/${configMap.name}`)
      if (data !== undefined) writeVolume(join(directoryOf(uid), name), data)
      else if (!configMap.optional) throw new Error(`configmap "${configMap.name}" not found`)
    }
    const now = this.#options.clock.now()
    if (now - (this.#tokenWrittenMs.get(uid) ?? 0) < tokenRefreshMs) return
    writeVolume(join(directoryOf(uid), 'service-account'), {
      token: await this.#requestToken(pod),
      'ca.crt': this.#options.ca,
      namespace,
    })
    this.#tokenWrittenMs.set(uid, now)
  }

  forget(uid: string): void {
    this.#tokenWrittenMs.delete(uid)
  }

  async #requestToken(pod: Pod): Promise<string> {
    const { namespace = 'default', name, uid } = pod.metadata
    const accounts = this.#options.client.resource(coreResource('serviceaccounts', true))
    const answer = (await this.#options.client.json({
      method: 'POST',
      path: accounts.path(namespace, pod.spec.serviceAccountName ?? 'default', 'token'),
      body: {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        /* Bound to the pod: Kubernetes gives a node no other, and ends it with the pod. */
        spec: {
          expirationSeconds: tokenSeconds,
          boundObjectRef: { apiVersion: 'v1', kind: 'Pod', name, uid },
        },
      },
    })) as { status: { token: string } }
    return answer.status.token
  }
}

const directoryOf = (uid: string): string => join(stateDirectory, 'volumes', uid)

function requirePath(path: string): void {
  if (existsSync(path) || ownFolders.some((folder) => path.startsWith(`${folder}/`))) return
  throw new Error(
    `${path} does not exist, and the lab makes folders in ${ownFolders.join(', ')} only: what it made elsewhere would stay on this machine`,
  )
}
