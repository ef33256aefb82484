import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dissect } from '../../../../test/packets/dissect.ts'
import { address } from '../../../../test/support/world-builder.ts'
import { linkProbeFrame } from './link-probe.ts'

const [mac, ownMac] = ['02:00:00:00:00:01', '02:00:00:00:00:02'] as const

for (const [source, destination] of [
  ['172.18.0.42', '192.0.0.8'],
  ['2001:db8::42', '100::8'],
] as const)
  test(`a probe from ${source} looks as a pod’s datagram to the world does`, () => {
    const frame = linkProbeFrame({ mac, ownMac, source: address(source), sourcePort: 10, destinationPort: 9 })
    assert.equal(frame.subarray(0, 12).toString('hex'), '020000000001020000000002')
    const { wrongChecksums, sourcePort, destinationPort, ...seen } = dissect(frame)
    assert.deepEqual(
      { source: seen.source, destination: seen.destination, sourcePort, destinationPort, wrongChecksums },
      { source, destination, sourcePort: 10, destinationPort: 9, wrongChecksums: [] },
    )
  })
