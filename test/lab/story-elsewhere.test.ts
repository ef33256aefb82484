import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Step } from '../../src/lab/walkthrough/step.ts'
import { steps } from '../../src/lab/walkthrough/steps.ts'
import { walk } from '../../src/lab/walkthrough/walk.ts'
import { cannotRun, hangTimeoutMs, labFor, type } from './lab-under-test.ts'

/** As a scheduler would that prefers the other worker. */
const elsewhere = (step: Step): Step => {
  if (!step.command.startsWith('kubectl run xwing')) return step
  return { ...step, command: `${step.command} --overrides '{"spec":{"nodeName":"kind-worker2"}}'` }
}

describe('the walkthrough with the X-Wing on the other worker', {
  skip: cannotRun,
  timeout: hangTimeoutMs,
}, () => {
  const lab = labFor('test-elsewhere')

  test('every command gives the same answer', async (context) => {
    const last = steps.findLastIndex(({ section }) => section === 'The routing mechanism')
    const story = steps.slice(0, last + 1).map(elsewhere)
    for await (const { step, answer, problem } of walk(lab.state(), story, context.signal))
      assert.equal(problem, undefined, `${step.command}\n${answer.text}`)
    const node = 'kubectl get pod xwing -o jsonpath={.spec.nodeName}'
    assert.equal(await type(lab.state(), node), 'kind-worker2')
  })
})
