import type { Registry } from 'prom-client'
import { version } from '../../../api/version.ts'
import type { Datapath } from '../../../datapath/datapath.ts'
import type { Tables } from '../../../decide/tables.ts'
import type { Address } from '../../../net/address.ts'
import {
  createRegistry,
  type Definitions,
  definitionsIn,
  type Value,
} from '../../../runtime/metrics/registry.ts'
import { defineWatches, type WatchView } from '../../../runtime/metrics/watches.ts'
import type { NatLogCounts } from '../../nat-log/nat-log.ts'
import type { Timings } from '../../timings.ts'
import type { FlowTotals } from './flow-totals.ts'
import { defineGateways, type GatewayView } from './gateways.ts'
import { definePorts, type PortView } from './ports.ts'
import { defineTraffic } from './traffic.ts'

/** What the agent knows at the time of a scrape. */
export interface Observed extends GatewayView, PortView {
  readonly isReady: boolean
  readonly problems: number
  readonly pods: number
  /** Undefined before the first decision. */
  readonly tables: Tables | undefined
  /** Egress IPs that the agent has added to devices of this node. */
  readonly held: Iterable<Address>
  readonly watches: readonly WatchView[]
  /** Undefined: there is no NAT log. */
  readonly natLog: NatLogCounts | undefined
}

/** All values are read at each scrape. Refresh `flows` before. */
export function createMetrics(
  datapath: Datapath,
  flows: Pick<FlowTotals, 'reading'>,
  timings: Timings,
  observe: () => Observed,
): Registry {
  const registry = createRegistry('agent', version)
  const definitions = definitionsIn(registry)
  defineTraffic(definitions, datapath, flows, () => observe().tables)
  defineNode(definitions, datapath, observe)
  definePorts(definitions, flows, observe)
  defineGateways(definitions, observe)
  defineWatches(definitions, () => observe().watches)
  defineNatLog(definitions, observe)
  timings.registerIn(registry)
  return registry
}

function defineNode({ gauge }: Definitions, datapath: Datapath, observe: () => Observed): void {
  gauge('sallyport_ready', '1 if the agent has applied its tables, 0 otherwise.', [], () => [
    [{}, Number(observe().isReady)],
  ])
  gauge('sallyport_problems', 'Problems of this node, as "sallyport status" shows them.', [], () => [
    [{}, observe().problems],
  ])
  gauge('sallyport_pods', 'Pods on this node that the agent handles.', [], () => [[{}, observe().pods]])
  gauge('sallyport_policies', 'Egress policies in the tables of this node.', [], () => [
    [{}, observe().tables?.policies.size ?? 0],
  ])
  gauge(
    'sallyport_egress_ip_held',
    '1 for each egress IP that the agent has added to a device of this node.',
    ['egress_ip'],
    () => [...observe().held].map((address) => [{ egress_ip: address }, 1]),
  )
  /* An array has all its entries from the start. */
  const tables = (): readonly (readonly [table: string, entries: number, limit: number])[] =>
    [...datapath.written]
      .map(([table, { size }]) => [table, size, datapath.tables[table].raw.maxEntries] as const)
      .filter(([, , limit]) => limit > 1)
  gauge(
    'sallyport_table_entries',
    'Entries that the agent wrote into a table of the datapath.',
    ['table'],
    () => tables().map(([table, entries]) => [{ table }, entries]),
  )
  gauge('sallyport_table_limit', 'Maximum number of entries of a table of the datapath.', ['table'], () =>
    tables().map(([table, , limit]) => [{ table }, limit]),
  )
}

function defineNatLog({ counter }: Definitions, observe: () => Observed): void {
  counter(
    'sallyport_nat_log_records_total',
    'Records of flows that this node wrote to the NAT log.',
    [],
    () => {
      const { natLog } = observe()
      return natLog === undefined ? [] : [[{}, natLog.records]]
    },
  )
  counter(
    'sallyport_nat_log_lost_records_total',
    'Records that the NAT log lacks, by what was full or failed.',
    ['reason'],
    () =>
      Object.entries(observe().natLog?.lost ?? {}).map(([reason, records]): Value => [{ reason }, records]),
  )
}
