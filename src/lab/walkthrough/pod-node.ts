import type { Step } from './step.ts'

/** The X-Wing's node in the document. A scheduler can choose the other worker as well. */
export const writtenNode = 'kind-worker'

/** Matches the names of both workers, but not `kind-worker3`. */
const workers = /\bkind-worker2?(?![\w-])/g

/** The node in the output of `kubectl get pod -o wide`. Undefined if the pod has none yet. */
export function nodeIn(text: string): string | undefined {
  return /\b10\.\d+\.\d+\.\d+\s+(kind-\S+)\s/.exec(text)?.[1]
}

/**
 * The step as the document would have it with the X-Wing on that node. The two workers swap their names in the command and in the
 * answer.
 */
export function followedTo(node: string, step: Step): Step {
  if (node === writtenNode) return step
  const swapped = (text: string): string =>
    text.replaceAll(workers, (name) => {
      if (name === writtenNode) return node
      return name === node ? writtenNode : name
    })
  const { expect } = step
  return {
    ...step,
    command: swapped(step.command),
    ...(expect && { expect: (answer) => expect({ ...answer, text: swapped(answer.text) }) }),
  }
}
