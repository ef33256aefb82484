import assert from 'node:assert/strict'
import { test } from 'node:test'
import { natLogAnnotation, natLogRemarks, readNatLogChoice } from './nat-log-annotation.ts'

const annotated = (value: string) => ({ annotations: { [natLogAnnotation]: value } })

test('a policy chooses whether its flows are in the NAT log', () => {
  for (const choice of ['on', 'off', 'destinations'] as const) {
    assert.equal(readNatLogChoice(annotated(choice)), choice)
    assert.deepEqual(natLogRemarks(annotated(choice)), [])
  }
  assert.equal(readNatLogChoice({}), undefined)
  assert.deepEqual(natLogRemarks({}), [])
})

test('another value chooses nothing, and the status of the policy says so', () => {
  assert.equal(readNatLogChoice(annotated('yes')), undefined)
  assert.match(
    natLogRemarks(annotated('yes'))[0] ?? '',
    /sallyport\.dev\/nat-log is yes, .* Use on, off, destinations\./,
  )
})
