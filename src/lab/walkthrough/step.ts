/** A command of the walkthrough, exactly as in the document, with the answer that it must give. */
export interface Step {
  readonly section: string
  /** One line that explains the command to the user. */
  readonly title: string
  /** Bash runs it in the lab's shell. Variables are kept from step to step. */
  readonly command: string
  /** Returns what is wrong with the answer. Undefined if nothing is. */
  readonly expect?: (answer: Answer) => string | undefined
  /** Delay before the command, as if a user typed it. Set where a failure must be detected first. */
  readonly typedInMs?: number
  /** The answer shows the X-Wing's node, which later steps use. */
  readonly showsNode?: true
  /** The command is repeated for this long until its answer is right, because pods and policies take a moment. */
  readonly retryForMs?: number
}

export interface Answer {
  /** Standard output and error as a terminal shows them, without carriage returns. */
  readonly text: string
  readonly exitCode: number
}

type Expectation = (answer: Answer) => string | undefined

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

/** Each part must appear at least once. */
export function variesOver(...parts: readonly string[]): Expectation {
  return ({ text }) => {
    const missing = parts.filter((part) => !text.includes(part))
    return missing.length === 0 ? undefined : `never seen: ${missing.join(' and ')}`
  }
}
