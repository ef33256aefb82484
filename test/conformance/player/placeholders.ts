/** What may stand where a recording has a placeholder, by the placeholder's name. */
const shapes: Readonly<Record<string, string>> = {
  uid: '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}',
  rv: '\\d+',
  time: '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ',
  microtime: '\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d\\.\\d{6}Z',
  random: '[a-z0-9]{5}(?:[a-z0-9]{5})?',
  event: '[0-9a-f]+',
  continue: '[\\w+/=-]+',
  'cluster-ip': '[0-9a-f.:]+',
  'node-port': '\\d+',
  'container-id': '[0-9a-f]{64}',
  token: '[\\w.-]+',
  certificate: '[\\s\\S]+',
  hash: '[0-9A-Za-z]+',
  etag: '.+',
}
const anything = '.*'
const placeholder = new RegExp(
  `<(${Object.keys(shapes).join('|')}|kernel|machineID|bootID|systemUUID|host)(-\\d+)?>`,
  'g',
)

/** Two values that a placeholder stands for in two answers are one value: uids, for example. */
const lasting = new Set([
  'uid',
  'rv',
  'random',
  'event',
  'continue',
  'cluster-ip',
  'node-port',
  'container-id',
  'token',
])

/** Which of our values stands for which placeholder, learned from the answers as they come. */
export class Bindings {
  readonly #valueOf = new Map<string, string>()
  readonly #placeholderOf = new Map<string, string>()

  /** False: what this placeholder stands for is another value, or the value is another placeholder's. */
  bind(name: string, value: string): boolean {
    const key = `${name.replace(/-\d+$/, '')} ${value}`
    const isSame =
      (this.#valueOf.get(name) ?? value) === value && (this.#placeholderOf.get(key) ?? name) === name
    this.#valueOf.set(name, value)
    this.#placeholderOf.set(key, name)
    return isSame
  }

  /** For requests to come: the value is not held to be this placeholder's alone. */
  note(placeholderText: string, value: string): void {
    const name = placeholderText.replace(/^<|>$/g, '')
    if (!this.#valueOf.has(name)) this.#valueOf.set(name, value)
  }

  /** A request as recorded, with our own values in it. */
  fill<T>(value: T, nowMs = Date.now()): T {
    if (typeof value === 'string') return this.#fillText(value, nowMs) as T
    if (Array.isArray(value)) return value.map((each) => this.fill(each, nowMs)) as T
    if (typeof value !== 'object' || value === null) return value
    return Object.fromEntries(
      Object.entries(value).map(([key, below]) => [this.#fillText(key, nowMs), this.fill(below, nowMs)]),
    ) as T
  }

  #fillText(text: string, nowMs: number): string {
    const repeated = /^<(.) (\d+) times>$/.exec(text)
    if (repeated !== null) return (repeated[1] ?? '').repeat(Number(repeated[2]))
    const iso = new Date(nowMs).toISOString()
    return text.replace(placeholder, (whole, name: string, number = '') => {
      if (name === 'time') return iso.replace(/\.\d+/, '')
      if (name === 'microtime') return iso.replace(/\.\d+Z/, '.000000Z')
      return this.#valueOf.get(`${name}${number}`) ?? whole
    })
  }
}

interface Pattern {
  readonly expression: RegExp
  readonly names: readonly string[]
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')
const patterns = new Map<string, Pattern>()

function patternOf(text: string): Pattern {
  const known = patterns.get(text)
  if (known !== undefined) return known
  const names: string[] = []
  let source = ''
  let after = 0
  for (const match of text.matchAll(placeholder)) {
    const [whole, name = '', number = ''] = match
    source += `${escaped(text.slice(after, match.index))}(${shapes[name] ?? anything})`
    names.push(`${name}${number}`)
    after = match.index + whole.length
  }
  const expression = new RegExp(`^${source}${escaped(text.slice(after))}$`)
  patterns.set(text, { expression, names })
  return { expression, names }
}

/**
 * Why a text is not what was recorded; undefined where it is. What the placeholders stand for is remembered.
 */
export function textDifference(recorded: string, own: string, bindings: Bindings): string | undefined {
  if (recorded === own) return undefined
  const { expression, names } = patternOf(recorded)
  const values = expression.exec(own)?.slice(1)
  if (names.length === 0 || values === undefined) return `${quote(own)} instead of ${quote(recorded)}`
  const other = names.filter((name, index) => {
    const isLasting = lasting.has(name.replace(/-\d+$/, '')) && /\d$/.test(name)
    const isSame = bindings.bind(name, values[index] ?? '')
    return isLasting && !isSame
  })
  return other.length === 0
    ? undefined
    : `${quote(own)} is not the value that <${other.join('>, <')}> stands for`
}

function quote(text: string): string {
  return text.length > 300 ? `${JSON.stringify(text.slice(0, 300))}…` : JSON.stringify(text)
}
