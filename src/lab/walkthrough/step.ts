/**
 * The user's walkthrough, command by command, with what each answer must show.
 * Commands are exactly as the document has them; `expect` says what is missing in an answer, or nothing.
 */
export interface Step {
  readonly section: string
  /** One line for the person who watches. */
  readonly title: string
  /** Run by bash in the lab's shell; variables live on from step to step. */
  readonly command: string
  readonly expect?: (answer: Answer) => string | undefined
  /** How long the reader needs to type it, where that matters: what fails takes a moment to be noticed. */
  readonly typedInMs?: number
  /** Its answer shows the X-Wing's node, which the rest of the story is about. */
  readonly showsNode?: true
  /** The walkthrough's reader takes time between commands, and pods take a moment: tried again until it holds. */
  readonly retryForMs?: number
}

export interface Answer {
  /** Standard output and error as a terminal shows them, without carriage returns. */
  readonly text: string
  readonly exitCode: number
}

export type Expectation = (answer: Answer) => string | undefined

export function contains(...parts: readonly (string | RegExp)[]): Expectation {
  return ({ text }) => {
    const missing = parts.filter((part) =>
      typeof part === 'string' ? !text.includes(part) : !part.test(text),
    )
    return missing.length === 0 ? undefined : `missing: ${missing.join(' and ')}`
  }
}

export function succeeds(): Expectation {
  return ({ exitCode }) => (exitCode === 0 ? undefined : `exit code ${exitCode}`)
}

export function all(...expectations: readonly Expectation[]): Expectation {
  return (answer) => {
    for (const expectation of expectations) {
      const problem = expectation(answer)
      if (problem !== undefined) return problem
    }
    return undefined
  }
}

export function eachLine(count: number, pattern: RegExp): Expectation {
  return ({ text }) => {
    const lines = text.split('\n').filter((line) => line.trim() !== '')
    const wrong = lines.find((line) => !pattern.test(line))
    if (wrong !== undefined) return `unexpected line: ${wrong}`
    return lines.length === count ? undefined : `${lines.length} lines instead of ${count}`
  }
}

export const allowed = '172.18.0.42,172.18.0.43'
export const granted = (address: string) =>
  contains(`Access granted. Your source IP (${address}) matches an allowed IP.`)
export const deniedWith = (address: string) =>
  contains(`Access denied. Your source IP (${address}) doesn't match the allowed IPs (${allowed})`)
/** Pods of the walkthrough run on kind-worker (172.18.0.2) or kind-worker2 (172.18.0.5). */
export const deniedWithNodeIp: Expectation = contains(
  /Access denied\. Your source IP \(172\.18\.0\.[25]\) doesn't match the allowed IPs \(172\.18\.0\.42,172\.18\.0\.43\)/,
)
export const curlFrom = (pod: string) =>
  `kubectl exec -ti ${pod} -- \\\n  curl --max-time 2 http://172.18.0.7:8000`
export const tenTimes = `for i in $(seq 1 10); do
  kubectl exec -ti xwing -- \\
    curl --max-time 2 http://172.18.0.7:8000
done`

/** Each of these answers has come at least once. */
export function variesOver(...parts: readonly string[]): Expectation {
  return ({ text }) => {
    const missing = parts.filter((part) => !text.includes(part))
    return missing.length === 0 ? undefined : `never seen: ${missing.join(' and ')}`
  }
}
