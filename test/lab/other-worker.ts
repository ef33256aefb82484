import type { Step } from '../../src/lab/walkthrough/step.ts'

export const otherWorker = 'kind-worker2'

/** As a scheduler would that prefers the other worker. The walkthrough's own test has the other order. */
export const onOtherWorker = (step: Step): Step => {
  if (!step.command.startsWith('kubectl run xwing')) return step
  return { ...step, command: `${step.command} --overrides '{"spec":{"nodeName":"${otherWorker}"}}'` }
}
