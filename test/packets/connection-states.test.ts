import assert from 'node:assert/strict'
import { before, beforeEach, describe, test } from 'node:test'
import { flowKey } from './flows.ts'
import { type NodeUnderTest, openNode, reset, skip } from './node-under-test.ts'
import { tcpFlows } from './tcp-flow.ts'

describe('the state of a TCP connection', { skip }, () => {
  let node: NodeUnderTest
  before(() => {
    node = openNode()
  })
  beforeEach(() => reset(node))
  const { out, back, states, handshake, podClosesFirst, serverClosesFirst } = tcpFlows(() => node)

  test('a handshake makes a connection established', () => {
    out({ flags: ['SYN'], sequence: 100 })
    assert.deepEqual(states(), [])
    back({ flags: ['SYN', 'ACK'], sequence: 500, acknowledged: 101 })
    assert.deepEqual(states(), ['REPLIED'])
    out({ flags: ['ACK'], sequence: 101, acknowledged: 501 })
    assert.deepEqual(states(), ['REPLIED', 'ESTABLISHED'])
  })

  test('a connection that the pod closes first is closed, and known as that', () => {
    podClosesFirst()
    assert.ok(states().includes('POD_CLOSED_FIRST'))
    assert.notEqual(node.datapath.tables.mappings.get(flowKey({}))?.closed_ns, 0n)
  })

  test('a connection that the server closes first is closed, and known as that', () => {
    serverClosesFirst()
    assert.ok(!states().includes('POD_CLOSED_FIRST'))
    assert.notEqual(node.datapath.tables.mappings.get(flowKey({}))?.closed_ns, 0n)
  })

  test('one FIN alone closes nothing, nor one that is not acknowledged', () => {
    handshake()
    out({ flags: ['FIN', 'ACK'], sequence: 101, acknowledged: 501 })
    back({ flags: ['ACK'], sequence: 501, acknowledged: 101 })
    back({ flags: ['FIN', 'ACK'], sequence: 501, acknowledged: 101 })
    assert.equal(node.datapath.tables.mappings.get(flowKey({}))?.closed_ns, 0n)
    assert.deepEqual(
      states().filter((state) => state.endsWith('ACKED')),
      [],
    )
  })

  test('payload before the FIN counts: its acknowledgement must reach past both', () => {
    handshake()
    out({ flags: ['FIN', 'ACK', 'PSH'], sequence: 101, acknowledged: 501, payload: 'last words' })
    back({ flags: ['ACK'], sequence: 501, acknowledged: 111 })
    assert.ok(!states().includes('FIN_OUT_ACKED'))
    back({ flags: ['ACK'], sequence: 501, acknowledged: 112 })
    assert.ok(states().includes('FIN_OUT_ACKED'))
  })

  test('sequence numbers wrap', () => {
    out({ flags: ['SYN'], sequence: 0xfffffffe })
    back({ flags: ['SYN', 'ACK'], sequence: 0xfffffffe, acknowledged: 0xffffffff })
    out({ flags: ['ACK'], sequence: 0xffffffff, acknowledged: 0xffffffff })
    out({ flags: ['FIN', 'ACK'], sequence: 0xffffffff, acknowledged: 0xffffffff })
    back({ flags: ['FIN', 'ACK'], sequence: 0xffffffff, acknowledged: 0 })
    out({ flags: ['ACK'], sequence: 0, acknowledged: 0 })
    assert.notEqual(node.datapath.tables.mappings.get(flowKey({}))?.closed_ns, 0n)
  })

  test('where both close at once nobody was first: the far end has a TIME_WAIT too', () => {
    handshake()
    out({ flags: ['FIN', 'ACK'], sequence: 101, acknowledged: 501 })
    back({ flags: ['FIN', 'ACK'], sequence: 501, acknowledged: 101 })
    back({ flags: ['ACK'], sequence: 502, acknowledged: 102 })
    out({ flags: ['ACK'], sequence: 102, acknowledged: 502 })
    assert.ok(!states().includes('POD_CLOSED_FIRST'))
    assert.notEqual(node.datapath.tables.mappings.get(flowKey({}))?.closed_ns, 0n)
  })

  test('a reset from outside changes nothing; one of the pod makes the connection transitory', () => {
    handshake()
    back({ flags: ['RST'], sequence: 501 })
    assert.deepEqual(states(), ['REPLIED', 'ESTABLISHED'])
    out({ flags: ['RST'], sequence: 101 })
    assert.ok(states().includes('RESET'))
  })

  test('a FIN from outside counts where the pod has acknowledged so far, or nearly; another is forged', () => {
    const distance = 4 * 2 ** 20
    for (const [index, { sequence, counts }] of [
      { sequence: 501 + distance, counts: true },
      { sequence: 501 + distance + 1, counts: false },
      { sequence: (501 - distance) >>> 0, counts: true },
      { sequence: (501 - distance - 1) >>> 0, counts: false },
      { sequence: 0x8000_0000, counts: false },
    ].entries()) {
      const sourcePort = 40000 + index
      handshake(sourcePort)
      assert.equal(back({ flags: ['FIN', 'ACK'], sequence, acknowledged: 101 }, sourcePort), 'SENT_TO_POD')
      assert.equal(states(sourcePort).includes('FIN_IN'), counts, `${sequence}`)
    }
  })
})
