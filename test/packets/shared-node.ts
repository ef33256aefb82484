import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Desired } from '../../src/datapath/desired.ts'
import { type NodeUnderTest, ourPorts, prefix, standardTables } from './node-under-test.ts'
import { address } from './packet.ts'

export const own = '172.18.0.3'
export const own6 = '2001:db8::3'

/**
 * The node of the other packet tests, chained. A policy has 192.0.2.0/24 and 2001:db8:eeee::/48 leave with the node's own
 * address.
 */
export function sharedTables(node: NodeUnderTest): Desired {
  const tables = standardTables(node)
  const [owners] = [...tables.egressIps.values()]
  assert.ok(owners)
  const [self, self6] = [address(own), address(own6)]
  const ours = { blocks: [ourPorts.first >> 4], purpose: 'egress' } as const
  return {
    ...tables,
    self: { ...tables.self, masquerade6: self6 },
    egressIps: new Map([
      ...tables.egressIps,
      ...[self, self6].map((ip) => [ip, { ...owners, order: [self] }] as const),
    ]),
    pools: [...tables.pools, { address: self, ...ours }, { address: self6, ...ours }].filter(
      ({ purpose }) => purpose === 'egress',
    ),
    groups: new Map([
      ...tables.groups,
      [9n, { preferred: [self], standby: [], keepsAddress: false }],
      [10n, { preferred: [self6], standby: [], keepsAddress: false }],
    ]),
    rules: new Map([
      [
        1n,
        new Map([
          [prefix('192.0.2.0/24'), { action: 'egress', group: 9n, policy: 9n }],
          [prefix('2001:db8:eeee::/48'), { action: 'egress', group: 10n, policy: 9n }],
        ]),
      ],
    ]),
  } as Desired
}

/** A process of the node sends a datagram to a server from each of these ports. It has the ports until it is disposed of. */
export async function sendFrom(server: string, ports: readonly number[]): Promise<AsyncDisposable> {
  const script = `import socket, sys
held = []
for port in ${JSON.stringify(ports)}:
    held.append(socket.socket(socket.${server.includes(':') ? 'AF_INET6' : 'AF_INET'}, socket.SOCK_DGRAM))
    held[-1].bind(("${server.includes(':') ? own6 : own}", port))
    held[-1].sendto(b"x", ("${server}", 53))
print("sent", flush=True)
sys.stdin.read()`
  const child = spawn('python3', ['-c', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  await once(child.stdout, 'data')
  return {
    [Symbol.asyncDispose]: async () => {
      const ended = once(child, 'exit')
      child.stdin.end()
      await ended
    },
  }
}
