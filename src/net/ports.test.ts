import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blockOfPort, blocksOfRange, blocksPerSlot, portBlocks, portsPerBlock, regions } from './ports.ts'

test('leases and floor are all ports from 1024 on, and no port is both', () => {
  const blocks = [...blocksOfRange(regions.lease), ...blocksOfRange(regions.floor)]
  assert.equal(new Set(blocks).size, blocks.length)
  assert.equal(blocks.length * portsPerBlock, 65536 - 1024)
  assert.deepEqual([Math.min(...blocks), Math.max(...blocks)], [blockOfPort(1024), portBlocks - 1])
})

test('of a node’s own address the upper quarter is used, half by the node itself', () => {
  const own = [...blocksOfRange(regions.masquerade), ...blocksOfRange(regions.shared)]
  assert.equal(new Set(own).size, own.length)
  assert.deepEqual([Math.min(...own), Math.max(...own)], [blockOfPort(49152), blockOfPort(65535)])
  assert.equal(blocksOfRange(regions.masquerade).length, blocksOfRange(regions.shared).length)
})

test('every region begins and ends with a whole block', () => {
  for (const { first, last } of Object.values(regions)) {
    assert.equal(first % portsPerBlock, 0)
    assert.equal((last + 1) % portsPerBlock, 0)
  }
})

test('512 slots have 64 ports of every egress IP each, and 16 of a node’s own', () => {
  assert.equal(blocksPerSlot(regions.floor, 512) * portsPerBlock, 64)
  assert.equal(blocksPerSlot(regions.shared, 512) * portsPerBlock, 16)
})

test('a slot has no part of a region that has fewer blocks than there are slots', () => {
  assert.equal(blocksPerSlot(regions.shared, 1024), 0)
})
