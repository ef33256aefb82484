import type { Entry, RecordedAnswer, RecordedRequest } from './recording.ts'

/*
 * Answers of a cluster, with placeholders for what differs in every cluster: the form of the recordings.
 */

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const seconds = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ/g
const microseconds = /\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z/g
/** Times before this were sent on purpose. */
const oldest = '2026'

const certificate = /-----BEGIN CERTIFICATE-----[\s\S]*-----END CERTIFICATE-----\n?/g
const containerId = /\b[0-9a-f]{64}\b/g
const token = /\beyJ[\w-]+\.[\w-]+\.[\w-]+\b/g

/** By the field that they stand in: what a value of it is called. */
const fieldNames: Readonly<Record<string, string>> = {
  uid: 'uid',
  resourceVersion: 'rv',
  continue: 'continue',
  clusterIP: 'cluster-ip',
  nodePort: 'node-port',
  kernelVersion: 'kernel',
  machineID: 'machineID',
  bootID: 'bootID',
  systemUUID: 'systemUUID',
}
/** An API server cuts off what is longer before it completes a name. */
const longestBase = 58
const unnumbered = new Set(['kernel', 'machineID', 'bootID', 'systemUUID'])

/** The same value has the same placeholder in all entries that go through one of these. */
export class Normaliser {
  readonly #placeholders = new Map<string, string>()
  readonly #counts = new Map<string, number>()
  readonly #sent: ReadonlySet<string>

  /** `sent`: values that requests bring themselves, such as uids that no object has. They stand as they are. */
  constructor(sent: ReadonlySet<string>) {
    this.#sent = sent
  }

  entry(entry: Entry, request: RecordedRequest, answer: RecordedAnswer): Entry {
    for (const part of [request.body, request.query, answer.body]) this.#collect(part)
    this.#collectRefusedName(request.body, answer.body)
    return {
      ...entry,
      request: {
        ...request,
        ...this.#normal({ path: request.path, query: request.query, body: request.body }),
      },
      response: { ...answer, body: this.#normal(answer.body) },
    } as Entry
  }

  /** What stands where it can be told, first: it may be met in a text, too. */
  #collect(value: unknown): void {
    if (typeof value === 'string')
      for (const [, uid = ''] of value.matchAll(/JTI=([0-9a-f-]{36})/g)) this.#name('uid', uid)
    if (Array.isArray(value)) for (const item of value) this.#collect(item)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return
    const fields = value as Record<string, unknown>
    for (const key of Object.keys(fields).sort()) {
      const below = fields[key]
      const name = fieldNames[key]
      if (name !== undefined && (typeof below === 'string' || typeof below === 'number'))
        this.#name(name, `${below}`)
      this.#collect(below)
    }
    this.#collectNames(fields)
  }

  #collectNames({ name, generateName, involvedObject }: Record<string, unknown>): void {
    if (typeof name !== 'string') return
    const random =
      typeof generateName === 'string'
        ? name.slice(generateName.length)
        : /^kube-api-access-(.{5})$/.exec(name)?.[1]
    if (
      random !== undefined &&
      random !== '' &&
      (typeof generateName !== 'string' || name.startsWith(generateName))
    )
      this.#name('random', random)
    const event = involvedObject === undefined ? undefined : /\.([0-9a-f]{12,})$/.exec(name)?.[1]
    if (event !== undefined) this.#name('event', event)
  }

  /** A name that was completed and refused stands in the refusal alone. */
  #collectRefusedName(request: unknown, answer: unknown): void {
    const { generateName } = (request as { metadata?: { generateName?: string } } | undefined)?.metadata ?? {}
    const { name } = (answer as { details?: { name?: string } } | null)?.details ?? {}
    if (generateName === undefined || name === undefined) return
    const base = generateName.slice(0, longestBase)
    if (name.startsWith(base)) this.#name('random', name.slice(base.length))
  }

  #name(name: string, value: string): void {
    const isValue = name !== 'uid' || uuid.test(value)
    if (value === '' || value === 'None' || !isValue || this.#sent.has(value) || value.startsWith('<')) return
    const key = `${name} ${value}`
    if (this.#placeholders.has(key)) return
    const count = (this.#counts.get(name) ?? 0) + 1
    this.#counts.set(name, count)
    this.#placeholders.set(key, unnumbered.has(name) ? `<${name}>` : `<${name}-${count}>`)
  }

  #normal<T>(value: T, field = ''): T {
    if (typeof value === 'string' || typeof value === 'number') return this.#normalText(value, field) as T
    if (Array.isArray(value)) return value.map((item) => this.#normal(item, field)) as T
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, below]) => [this.#within(key), this.#normal(below, key)]),
    ) as T
  }

  #normalText(value: string | number, field: string): string | number {
    const name = fieldNames[field.replace(/^clusterIPs$/, 'clusterIP')]
    const known = name === undefined ? undefined : this.#placeholders.get(`${name} ${value}`)
    if (known !== undefined) return known
    return typeof value === 'number' ? value : this.#within(value)
  }

  /** Values inside a text: in paths, names and messages. */
  #within(text: string): string {
    let result = text
      .replace(token, '<token>')
      .replace(certificate, '<certificate>')
      .replace(containerId, '<container-id>')
    for (const [key, placeholder] of this.#placeholders) {
      const value = key.slice(key.indexOf(' ') + 1)
      if (/^(uid|random|event) /.test(key) && result.includes(value))
        result = result.replaceAll(value, placeholder)
    }
    const isOld = (time: string): boolean => time < oldest
    return result
      .replace(microseconds, (time) => (isOld(time) ? time : '<microtime>'))
      .replace(seconds, (time) => (isOld(time) ? time : '<time>'))
  }
}

/** Values of a recording's requests that stand for themselves. */
export function sentValues(entries: readonly Entry[]): ReadonlySet<string> {
  const texts = JSON.stringify(entries.map(({ request }) => request))
  const uids = texts.match(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g) ?? []
  const versions = [...texts.matchAll(/\\?"resourceVersion\\?":\s*\\?"(\w*)\\?"/g)].map(
    (match) => match[1] ?? '',
  )
  return new Set([...uids, ...versions])
}
