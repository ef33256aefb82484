import assert from 'node:assert/strict'
import { test } from 'node:test'
import { roundTripNs } from './observed.ts'

for (const { name, answeredNs, probedAtNs, expect } of [
  { name: 'the last probe is answered', answeredNs: 205n, probedAtNs: [200n, 100n], expect: 5n },
  { name: 'the last probe is on its way', answeredNs: 107n, probedAtNs: [200n, 100n], expect: 7n },
  { name: 'two probes are not answered', answeredNs: 57n, probedAtNs: [200n, 100n], expect: undefined },
  { name: 'none was sent', answeredNs: 57n, probedAtNs: [0n, 0n], expect: undefined },
])
  test(`the round trip is right if ${name}`, () => assert.equal(roundTripNs(answeredNs, probedAtNs), expect))
