import assert from 'node:assert/strict'
import type { LabState } from '../../src/lab/lab-state.ts'
import { runInside } from '../../src/lab/machines/host.ts'

/*
 * Faults of the switch that connects the nodes of a lab. A filter on a node itself would not do: what a program redirects when a packet
 * arrives passes by the egress hook of nftables.
 */

/** The switch's port of a node. */
export function portOf({ nodes }: Pick<LabState, 'nodes'>, node: string): string {
  const found = nodes.find(({ name }) => name === node)
  assert.ok(found, `the lab has no node ${node}`)
  return `veth${found.lastOctet}`
}

/** The API server of a lab runs on one of its nodes. What happens to it is a fault of its own. */
const keepApiServer = ['tcp dport 6443 accept', 'tcp sport 6443 accept']

/** From now on, the switch drops frames that match one of these nftables expressions, until `heal` with the same name. */
export function dropFrames({ host }: Pick<LabState, 'host'>, name: string, matches: readonly string[]): void {
  assert.ok(host, 'the lab has no switch')
  const rules = [...keepApiServer, ...matches.map((match) => `${match} drop`)].join('; ')
  runInside(host, [
    'nft',
    `table bridge ${name} { chain forward { type filter hook forward priority 0; ${rules}; }; }`,
  ])
}

export function heal({ host }: Pick<LabState, 'host'>, name: string): void {
  assert.ok(host, 'the lab has no switch')
  runInside(host, ['nft', `delete table bridge ${name}`])
}

/** Matches IP packets of one node to another one, in the tunnel and outside it. ARP works. */
export const packetsBetween = (state: LabState, from: string, to: string): string =>
  `iifname ${portOf(state, from)} oifname ${portOf(state, to)} meta protocol ip`
