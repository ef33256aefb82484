import type { Tables } from '../../../decide/tables.ts'
import type { Address } from '../../../net/address.ts'
import { portsPerBlock } from '../../../net/ports.ts'
import type { Definitions, Value } from '../../../runtime/metrics/registry.ts'
import type { FlowTotals } from './flow-totals.ts'

/** What the agent knows about ports. */
export interface PortView {
  readonly tables: Pick<Tables, 'pools'> | undefined
  /** For each egress IP, the blocks of 16 ports that this node leases. */
  readonly leasedBlocks: ReadonlyMap<Address, number>
  /** For each egress IP, the blocks that this node demands of the operator. */
  readonly demandedBlocks: ReadonlyMap<Address, number>
  /** For each egress IP, the flows to the destination with most flows, at the last sweep. */
  readonly crowded: ReadonlyMap<Address, number>
}

export function definePorts(
  { gauge }: Definitions,
  flows: Pick<FlowTotals, 'reading'>,
  observe: () => PortView,
): void {
  const perEgressIp = (name: string, help: string, read: () => Iterable<readonly [Address, number]>): void =>
    gauge(name, help, ['egress_ip'], () =>
      [...read()].map(([address, value]): Value => [{ egress_ip: address }, value]),
    )
  perEgressIp(
    'sallyport_ports_owned',
    'Ports of each egress IP that this node may use for new flows, from its floor and its leases.',
    () =>
      (observe().tables?.pools ?? []).flatMap(({ address, purpose, blocks }) =>
        purpose === 'egress' ? [[address, blocks.length * portsPerBlock] as const] : [],
      ),
  )
  perEgressIp(
    'sallyport_ports_used',
    'Ports of each egress IP that at least one flow of this node has. Flows to different destinations can share a port.',
    () => flows.reading.portsUsed,
  )
  perEgressIp('sallyport_ports_leased', 'Ports of each egress IP that are leased to this node.', () =>
    inPorts(observe().leasedBlocks),
  )
  perEgressIp(
    'sallyport_ports_demanded',
    'Ports of each egress IP that this node demands of the operator, those that it leases included.',
    () => inPorts(observe().demandedBlocks),
  )
  perEgressIp(
    'sallyport_top_destination_flows',
    'Flows of this node with this egress IP to the destination (address, port and protocol) that has most of them. Each needs a port of its own.',
    () => observe().crowded,
  )
}

function inPorts(blocks: ReadonlyMap<Address, number>): readonly (readonly [Address, number])[] {
  return [...blocks].map(([address, count]) => [address, count * portsPerBlock])
}
