import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { put } from '../../src/datapath/maps/maps.ts'
import { countInTurns } from '../../src/datapath/maps/turn.ts'
import { flowKey } from './flows.ts'
import { openNode, skip } from './node-under-test.ts'

const flows = 60_000
const maxBlockMs = 10

describe('a count of all flows', { skip }, () => {
  test('is right, and gives the process a turn every 10 ms', async () => {
    const { mappings } = openNode().datapath.tables
    const value = Buffer.alloc(mappings.raw.valueSize)
    for (let index = 0; index < flows; index++) {
      const key = flowKey({ protocol: index < flows / 2 ? 6 : 17, sourcePort: 1 + (index % (flows / 2)) })
      put(mappings.raw, mappings.key.encode(key), value)
    }
    await countInTurns(mappings.raw) /* the code is compiled */
    const slices: number[] = []
    let isCounting = true
    let before = process.threadCpuUsage()
    const watch = (): void => {
      const { user, system } = process.threadCpuUsage(before)
      slices.push((user + system) / 1000)
      before = process.threadCpuUsage()
      if (isCounting) setImmediate(watch)
    }
    setImmediate(watch)
    const counted = countInTurns(mappings.raw)
    assert.equal(await counted, flows)
    isCounting = false
    /* By the processor's time, so that a busy machine changes nothing. The collector of garbage may take one turn. */
    const tooLong = slices.filter((each) => each > maxBlockMs)
    assert.ok(slices.length > flows / 8192, `${slices.length} turns`)
    assert.ok(tooLong.length <= 1, `turns took ${tooLong.join(', ')} ms`)
  })
})
