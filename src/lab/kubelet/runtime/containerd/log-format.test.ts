import assert from 'node:assert/strict'
import { test } from 'node:test'
import { decodeLog } from './log-format.ts'

const at = '2026-11-30T00:08:07.510602857Z'
const logs = [
  {
    name: 'a line is what follows its time, stream and tag',
    raw: `${at} stdout F one two\n`,
    text: 'one two\n',
  },
  { name: 'both streams are shown', raw: `${at} stdout F a\n${at} stderr F b\n`, text: 'a\nb\n' },
  { name: 'parts make one line', raw: `${at} stdout P long \n${at} stdout F line\n`, text: 'long line\n' },
  { name: 'an empty line stays one', raw: `${at} stdout F \n`, text: '\n' },
]
for (const { name, raw, text } of logs)
  test(`a container’s log: ${name}`, () => {
    const decoded = decodeLog(Buffer.from(raw))
    assert.equal(decoded.text.toString(), text)
    assert.equal(decoded.consumed, raw.length)
  })

test('a container’s log: a line that is being written waits for its end', () => {
  const raw = `${at} stdout F whole\n${at} stdout F ha`
  const decoded = decodeLog(Buffer.from(raw))
  assert.equal(decoded.text.toString(), 'whole\n')
  assert.equal(decoded.consumed, raw.indexOf('\n') + 1)
})
