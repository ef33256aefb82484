import { spawn } from 'node:child_process'
import { get } from 'node:http'
import { confine } from './confinement.ts'
import type { Probe, SecurityContext } from './pod-spec.ts'

type Verdict = 'passed' | 'failed' | 'undecided'

interface ProbeRecord {
  verdict: Verdict
  failures: number
  askedAtMs: number
}

export interface ProbeTarget {
  readonly uid: string
  readonly container: string
  readonly pid: number
  readonly podIP: string
  readonly env: Readonly<Record<string, string>>
  readonly security: SecurityContext
  /** Since the container's start. */
  readonly ageMs: number
}

/** Until the first success it is asked more often than the pod says: nobody wants to wait ten seconds in a lab. */
const eagerPeriodMs = 250

/** What the probes of this node's containers have found. One failure decides nothing; `failureThreshold` in a row do. */
export class Probes {
  readonly #records = new Map<string, ProbeRecord>()

  async ask(kind: 'readiness' | 'liveness', probe: Probe, target: ProbeTarget): Promise<Verdict> {
    const { periodSeconds = 10, failureThreshold = 3, initialDelaySeconds = 0 } = probe
    const key = `${target.uid}/${target.container}/${kind}`
    const record = this.#records.get(key) ?? { verdict: 'undecided', failures: 0, askedAtMs: 0 }
    this.#records.set(key, record)
    const isEager = kind === 'readiness' && record.verdict !== 'passed'
    const periodMs = isEager ? eagerPeriodMs : periodSeconds * 1000
    const isEarly = kind === 'liveness' && target.ageMs < initialDelaySeconds * 1000
    if (isEarly || Date.now() - record.askedAtMs < periodMs) return record.verdict
    record.askedAtMs = Date.now()
    const hasPassed = await probeOnce(probe, target)
    record.failures = hasPassed ? 0 : record.failures + 1
    if (hasPassed) record.verdict = 'passed'
    else if (record.failures >= failureThreshold) record.verdict = 'failed'
    return record.verdict
  }

  isReady(uid: string, container: string): boolean {
    return this.#records.get(`${uid}/${container}/readiness`)?.verdict === 'passed'
  }

  forget(uid: string, container?: string): void {
    const prefix = container === undefined ? `${uid}/` : `${uid}/${container}/`
    for (const key of this.#records.keys()) if (key.startsWith(prefix)) this.#records.delete(key)
  }
}

/** One look at a container. `pid` is its first process, `podIP` where it listens if the probe names no host. */
function probeOnce(probe: Probe, { pid, podIP, env, security }: ProbeTarget): Promise<boolean> {
  if (probe.httpGet !== undefined) {
    const { path = '/', port, host = podIP } = probe.httpGet
    return new Promise((resolve) => {
      const request = get({ host, port, path, timeout: 1000 }, (response) => {
        response.resume()
        resolve((response.statusCode ?? 500) < 400)
      })
      request.on('error', () => resolve(false))
      request.on('timeout', () => request.destroy())
    })
  }
  if (probe.exec === undefined) return Promise.resolve(true)
  const command = confine(security, probe.exec.command)
  const words = ['--net', '--mount', '--uts', `--target=${pid}`, '--', ...command]
  return new Promise((resolve) => {
    const child = spawn('nsenter', words, { env, stdio: 'ignore', timeout: 2000 })
    child.on('error', () => resolve(false))
    child.on('exit', (code) => resolve(code === 0))
  })
}
