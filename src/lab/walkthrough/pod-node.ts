import type { Step } from './step.ts'

/** Where the document has the X-Wing. A scheduler may as well put it on the other worker. */
export const writtenNode = 'kind-worker'

/** Either worker by its whole name: `kind-worker3` is neither. */
const workers = /\bkind-worker2?(?![\w-])/g

/** The node in `kubectl get pod -o wide`; undefined where the pod has none yet. */
export function nodeIn(text: string): string | undefined {
  return /\b10\.\d+\.\d+\.\d+\s+(kind-\S+)\s/.exec(text)?.[1]
}

/**
 * The step as it would be written had the document's cluster put the X-Wing on that node: the two workers change their parts,
 * in what is typed and in what is answered.
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
