import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseEndpoint } from './endpoint.ts'

test('an endpoint is an address with a port', () => {
  assert.deepEqual(parseEndpoint('192.0.2.7:443'), { address: '192.0.2.7', port: 443 })
  assert.deepEqual(parseEndpoint('[2001:db8::7]:443'), { address: '2001:db8::7', port: 443 })
})

test('an endpoint has no name, no missing port and no impossible port', () => {
  for (const wrong of [
    '',
    '192.0.2.7',
    '192.0.2.7:',
    '192.0.2.7:0',
    '192.0.2.7:65536',
    '2001:db8::7:443',
    '[192.0.2.7]:443',
    'collector:4739',
  ])
    assert.equal(parseEndpoint(wrong), undefined, wrong)
})
