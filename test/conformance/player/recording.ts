import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync, gzipSync } from 'node:zlib'

export interface RecordedRequest {
  readonly method: string
  readonly path: string
  readonly query?: Readonly<Record<string, string | number | boolean>>
  readonly headers: Readonly<Record<string, string>>
  /** A text is sent as it is, everything else as JSON. */
  readonly body?: unknown
}

export interface RecordedAnswer {
  /** 0: the server closed the connection without an answer. */
  readonly status: number
  readonly contentType: string | null
  readonly warnings?: readonly string[]
  readonly headers?: Readonly<Record<string, string>>
  readonly body: unknown
}

/** A request and its answer. An entry without a request is a remark, or data of its own. */
export interface Entry {
  readonly name: string
  readonly user?: string
  /** The request is repeated until this holds. */
  readonly until?: string
  readonly request?: RecordedRequest
  readonly response?: RecordedAnswer
  /** What was done after it without an entry of its own. */
  readonly then?: string
}

export const recordedVersion = 'kubernetes-1.36'
const folder = join(import.meta.dirname, '../recorded', recordedVersion)

export function readRecording(file: string): readonly Entry[] {
  const text = gunzipSync(readFileSync(join(folder, `${file}.json.gz`))).toString('utf8')
  return JSON.parse(text, withoutDistribution) as Entry[]
}

/**
 * The recorded API server is of a distribution that has one more CA than Kubernetes: as a ConfigMap in each namespace, and in the
 * token volume of each pod.
 */
const distributionsOwn = 'openshift-service-ca.crt'

function withoutDistribution(_key: string, value: unknown): unknown {
  if (!Array.isArray(value)) return value
  return value.filter((item: unknown) => {
    const { configMap, metadata, object } = (item ?? {}) as {
      configMap?: { name?: string } | null
      metadata?: { name?: string } | null
      object?: { metadata?: { name?: string } | null } | null
    }
    return ![configMap?.name, metadata?.name, object?.metadata?.name].includes(distributionsOwn)
  })
}

/** Keys keep their order and the time is left out, so that the same entries make the same bytes. */
export function writeRecording(path: string, entries: readonly Entry[]): void {
  const text = JSON.stringify(entries)
  writeFileSync(path, path.endsWith('.gz') ? gzipSync(text, { level: 9 }) : `${text}\n`)
}
