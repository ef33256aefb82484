import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dissect } from '../../../../test/packets/dissect.ts'
import { address } from '../../../../test/support/world-builder.ts'
import { LinkProbeFrames, linkProbeFrame } from './link-probe.ts'

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

test('a frame is made once, and another probe has another frame', () => {
  const frames = new LinkProbeFrames()
  const probe = { mac, ownMac, source: address('172.18.0.42'), sourcePort: 10, destinationPort: 9 }
  const first = frames.frame(probe)
  assert.deepEqual(first, linkProbeFrame(probe))
  assert.equal(frames.frame({ ...probe }), first)
  for (const change of [
    { mac: '02:00:00:00:00:03' },
    { ownMac: '02:00:00:00:00:03' },
    { source: address('172.18.0.43') },
    { sourcePort: 11 },
    { destinationPort: 8 },
  ])
    assert.deepEqual(frames.frame({ ...probe, ...change }), linkProbeFrame({ ...probe, ...change }))
})

test('the memory for frames is bounded', () => {
  const frames = new LinkProbeFrames()
  const probe = { mac, ownMac, source: address('172.18.0.42'), destinationPort: 9 }
  const first = frames.frame({ ...probe, sourcePort: 0 })
  for (let sourcePort = 1; sourcePort <= 1024; sourcePort++) frames.frame({ ...probe, sourcePort })
  assert.notEqual(frames.frame({ ...probe, sourcePort: 0 }), first)
})
