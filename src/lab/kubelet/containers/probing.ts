import type { Container, Pod, Probe } from '../pod-spec.ts'
import type { Surroundings, Tell } from '../surroundings.ts'
import { failureText, type ProbeKind, Probes, type ProbeTarget } from './probes.ts'
import type { RunningContainer, RunningPod } from './running-pods.ts'

/**
 * Runs the probes of running containers. If a liveness probe fails, the container is stopped, and its restart policy
 * applies.
 */
export class Probing {
  readonly #surroundings: Surroundings
  readonly #tell: Tell
  readonly #probes = new Probes()

  constructor(surroundings: Surroundings, tell: Tell) {
    this.#surroundings = surroundings
    this.#tell = tell
  }

  isReady(uid: string, { name, readinessProbe }: Container): boolean {
    return readinessProbe === undefined || this.#probes.hasPassed(uid, name, 'readiness')
  }

  hasStarted(uid: string, { name, startupProbe }: Container): boolean {
    return startupProbe === undefined || this.#probes.hasPassed(uid, name, 'startup')
  }

  forget(uid: string, container?: string): void {
    this.#probes.forget(uid, container)
  }

  async probe(
    pod: Pod,
    running: RunningPod,
    container: Container,
    present: RunningContainer,
    env: Readonly<Record<string, string>>,
  ): Promise<void> {
    const { clock, runtime } = this.#surroundings
    const target: ProbeTarget = {
      uid: running.uid,
      container,
      podIP: running.podIPs[0] ?? '',
      exec: (words, timeoutMs) =>
        runtime.execSync({ pod, spec: container, container: present, env, words }, timeoutMs),
      ageMs: clock.now() - Date.parse(present.startedAt),
      onFailure: (kind, why) =>
        this.#tell(pod, { type: 'Warning', reason: 'Unhealthy', message: failureText(kind, why) }, container),
    }
    const { startupProbe, readinessProbe, livenessProbe } = container
    if (startupProbe !== undefined && !this.hasStarted(running.uid, container)) {
      const verdict = await this.#probes.ask('startup', startupProbe, target)
      if (verdict === 'failed') return this.#giveUp(pod, container, present, 'startup', startupProbe)
      if (verdict !== 'passed') return
    }
    if (readinessProbe !== undefined) await this.#probes.ask('readiness', readinessProbe, target)
    if (livenessProbe === undefined) return
    if ((await this.#probes.ask('liveness', livenessProbe, target)) === 'failed')
      await this.#giveUp(pod, container, present, 'liveness', livenessProbe)
  }

  async #giveUp(
    pod: Pod,
    container: Container,
    present: RunningContainer,
    kind: ProbeKind,
    probe: Probe,
  ): Promise<void> {
    const message = `Container ${container.name} failed ${kind} probe, will be restarted`
    this.#surroundings.log.warn({ pod: pod.metadata.name }, message)
    this.#tell(pod, { type: 'Normal', reason: 'Killing', message }, container)
    const grace = probe.terminationGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30
    await this.#surroundings.runtime.stopContainer(present, grace)
  }
}
