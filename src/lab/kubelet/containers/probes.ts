import { get as getTls } from 'node:https'
import { connect } from 'node:net'
import { get as getPlain } from '../../../runtime/http.ts'
import type { Container, Probe } from '../pod-spec.ts'

export type ProbeKind = 'startup' | 'readiness' | 'liveness'
type Verdict = 'passed' | 'failed' | 'undecided'

interface ProbeRecord {
  verdict: Verdict
  failures: number
  successes: number
  askedAtMs: number
  toldAtMs: number
}

export interface ProbeTarget {
  readonly uid: string
  readonly container: Container
  readonly podIP: string
  /** Runs a command in the container, for no longer than that. */
  readonly exec: (words: readonly string[], timeoutMs: number) => Promise<CommandResult>
  /** Since the container's start. */
  readonly ageMs: number
  /** Why a probe has failed, as often as the pod lets it be asked. */
  readonly onFailure: (kind: ProbeKind, why: string) => void
}

export interface CommandResult {
  /** Undefined: it did not end in time. */
  readonly code: number | undefined
  readonly output: string
}

/** In a real kubelet's words. */
export function failureText(kind: ProbeKind, why: string): string {
  return `${kind.charAt(0).toUpperCase()}${kind.slice(1)} probe failed: ${why}`
}

/** Until its first success, a probe is sent more often than the pod asks for, so that a lab starts quickly. */
export const eagerPeriodMs = 250
/** A command takes a hundred times as much of the processor as a request does. */
const eagerCommandPeriodMs = 1000

/** The results of the probes of this node's containers. A probe fails after `failureThreshold` failures in a row. */
export class Probes {
  readonly #records = new Map<string, ProbeRecord>()

  async ask(kind: ProbeKind, probe: Probe, target: ProbeTarget): Promise<Verdict> {
    const { periodSeconds = 10, failureThreshold = 3, successThreshold = 1, initialDelaySeconds = 0 } = probe
    const record = this.#recordOf(target.uid, target.container.name, kind)
    const isEager = kind !== 'liveness' && record.verdict !== 'passed'
    const eagerMs = probe.exec === undefined ? eagerPeriodMs : eagerCommandPeriodMs
    const periodMs = isEager ? Math.min(eagerMs, periodSeconds * 1000) : periodSeconds * 1000
    const isEarly = kind !== 'readiness' && target.ageMs < initialDelaySeconds * 1000
    const nowMs = Date.now()
    if (isEarly || nowMs - record.askedAtMs < periodMs) return record.verdict
    record.askedAtMs = nowMs
    const failure = await probeOnce(probe, target)
    if (failure === undefined) {
      record.failures = 0
      if (++record.successes >= successThreshold) record.verdict = 'passed'
      return record.verdict
    }
    record.successes = 0
    /* While a probe runs more often than the pod asks for, only results at the pod's own period count. */
    if (nowMs - record.toldAtMs < periodSeconds * 1000) return record.verdict
    record.toldAtMs = nowMs
    target.onFailure(kind, failure)
    if (++record.failures >= failureThreshold) record.verdict = 'failed'
    return record.verdict
  }

  /** Has the probe passed, last time it decided? */
  hasPassed(uid: string, container: string, kind: ProbeKind): boolean {
    return this.#records.get(`${uid}/${container}/${kind}`)?.verdict === 'passed'
  }

  forget(uid: string, container?: string): void {
    const prefix = container === undefined ? `${uid}/` : `${uid}/${container}/`
    for (const key of this.#records.keys()) if (key.startsWith(prefix)) this.#records.delete(key)
  }

  #recordOf(uid: string, container: string, kind: ProbeKind): ProbeRecord {
    const key = `${uid}/${container}/${kind}`
    const fresh = { verdict: 'undecided' as const, failures: 0, successes: 0, askedAtMs: 0, toldAtMs: 0 }
    const record = this.#records.get(key) ?? fresh
    this.#records.set(key, record)
    return record
  }
}

/** Undefined if the probe succeeded, or else the reason in the words of a real kubelet. */
function probeOnce(probe: Probe, target: ProbeTarget): Promise<string | undefined> {
  const timeoutMs = (probe.timeoutSeconds ?? 1) * 1000
  const { container, podIP, exec } = target
  if (probe.httpGet !== undefined) {
    const { path = '/', port, host = podIP, scheme = 'HTTP' } = probe.httpGet
    const url = `${scheme.toLowerCase()}://${bracketed(host)}:${portOf(container, port)}${path}`
    return probeHttp(url, timeoutMs)
  }
  if (probe.tcpSocket !== undefined) {
    const { port, host = podIP } = probe.tcpSocket
    return probeTcp(host, portOf(container, port), timeoutMs)
  }
  if (probe.exec === undefined) return Promise.resolve('missing probe handler')
  const { command } = probe.exec
  return exec(command, timeoutMs).then(({ code, output }) => {
    if (code === undefined)
      return `command timed out: "${command.join(' ')}" timed out after ${timeoutMs / 1000}s`
    return code === 0 ? undefined : output
  })
}

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host)

/** A port by its number, or by the name that the container gives it. */
function portOf({ ports = [] }: Container, port: number | string): number {
  return ports.find(({ name }) => name === port)?.containerPort ?? Number(port)
}

function probeHttp(url: string, timeoutMs: number): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const get = url.startsWith('https:') ? getTls : getPlain
  const request = get(url, { rejectUnauthorized: false, timeout: timeoutMs }, (response) => {
    response.resume()
    const code = response.statusCode ?? 500
    resolve(code < 400 ? undefined : `HTTP probe failed with statuscode: ${code}`)
  })
  request.on('error', (error: NodeJS.ErrnoException & { port?: number; address?: string }) =>
    resolve(`Get "${url}": ${dialError(error, error.address ?? '', error.port ?? 0)}`),
  )
  request.on('timeout', () => {
    resolve(`Get "${url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)`)
    request.destroy()
  })
  return promise
}

function probeTcp(host: string, port: number, timeoutMs: number): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const socket = connect({ host, port, timeout: timeoutMs })
  const end = (why: string | undefined): void => {
    resolve(why)
    socket.destroy()
  }
  socket.on('connect', () => end(undefined))
  socket.on('timeout', () => end(`dial tcp ${bracketed(host)}:${port}: i/o timeout`))
  socket.on('error', (error) => end(dialError(error, host, port)))
  return promise
}

function dialError({ code, message }: NodeJS.ErrnoException, host: string, port: number): string {
  if (code === 'ECONNREFUSED') return `dial tcp ${bracketed(host)}:${port}: connect: connection refused`
  return code === 'ECONNRESET' ? 'EOF' : message
}
