import assert from 'node:assert/strict'
import { flowKey } from './flows.ts'
import { type NodeUnderTest, send } from './node-under-test.ts'
import { ipv4, type TcpFields } from './packet.ts'

/** Sends packets of TCP connections between a pod of the node and one server, and reads the states of their mappings. */
export function tcpFlows(node: () => NodeUnderTest) {
  /** The pod sends a packet. Returns the verdict. */
  function out(fields: TcpFields, sourcePort = 40000): string {
    return send(
      node(),
      'from_pod',
      node().devices.pod7,
      ipv4('10.244.1.7', '203.0.113.9').tcp(sourcePort, 443, fields),
    ).verdict
  }

  /** The server sends a packet to the flow's egress IP and port. Returns the verdict. */
  function back(fields: TcpFields, sourcePort = 40000): string {
    const port = node().datapath.tables.mappings.get(flowKey({ sourcePort }))?.egress_port ?? 0
    return send(
      node(),
      'from_world',
      node().devices.world,
      ipv4('203.0.113.9', '172.18.0.42').tcp(443, port, fields),
    ).verdict
  }

  const states = (sourcePort = 40000): readonly string[] =>
    (node().datapath.tables.mappings.get(flowKey({ sourcePort }))?.state ?? []).map((name) =>
      name.replace('STATE_', ''),
    )

  function handshake(sourcePort = 40000): void {
    assert.equal(out({ flags: ['SYN'], sequence: 100 }, sourcePort), 'SENT_TO_HOLDER')
    assert.equal(back({ flags: ['SYN', 'ACK'], sequence: 500, acknowledged: 101 }, sourcePort), 'SENT_TO_POD')
    assert.equal(out({ flags: ['ACK'], sequence: 101, acknowledged: 501 }, sourcePort), 'SENT_TO_HOLDER')
  }

  function podClosesFirst(sourcePort = 40000): void {
    handshake(sourcePort)
    out({ flags: ['FIN', 'ACK'], sequence: 101, acknowledged: 501 }, sourcePort)
    back({ flags: ['FIN', 'ACK'], sequence: 501, acknowledged: 102 }, sourcePort)
    out({ flags: ['ACK'], sequence: 102, acknowledged: 502 }, sourcePort)
  }

  function serverClosesFirst(sourcePort = 40000): void {
    handshake(sourcePort)
    back({ flags: ['FIN', 'ACK'], sequence: 501, acknowledged: 101 }, sourcePort)
    out({ flags: ['FIN', 'ACK'], sequence: 101, acknowledged: 502 }, sourcePort)
    back({ flags: ['ACK'], sequence: 502, acknowledged: 102 }, sourcePort)
  }

  return { out, back, states, handshake, podClosesFirst, serverClosesFirst }
}
