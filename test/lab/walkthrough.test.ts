import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { steps } from '../../src/lab/walkthrough/steps.ts'
import { walk } from '../../src/lab/walkthrough/walk.ts'
import { cannotRun, labFor } from './lab-under-test.ts'

/** The user's document, command by command, against the real operator, agents and datapath. */
describe('the walkthrough', { skip: cannotRun, timeout: 300_000 }, () => {
  const lab = labFor('test-walkthrough')

  test('every command gives the answer that the document has', async (context) => {
    for await (const { step, answer, problem } of walk(lab.state(), steps, context.signal))
      await context.test(`${step.section}: ${step.title}`, () => {
        assert.equal(problem, undefined, `${step.command}\n${answer.text}`)
      })
  })
})
