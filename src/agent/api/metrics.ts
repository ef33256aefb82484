import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { Datapath } from '../../datapath/datapath.ts'
import type { Tables } from '../../decide/tables.ts'
import type { Address } from '../../net/address.ts'
import type { Reachability } from '../failover/failover-views.ts'
import type { TakeoverCounts } from '../failover/state.ts'
import type { NatLogCounts } from '../nat-log/nat-log.ts'

/** The event loop's delay is sampled this often. The library's 10 ms would be half of what an idle agent does. */
const loopDelayEveryMs = 1_000

/** What the agent knows at the time of a scrape. */
export interface Observed {
  readonly isReady: boolean
  readonly pods: number
  /** Undefined before the first decision. */
  readonly tables: Tables | undefined
  readonly reachability: Reachability
  /** Egress IPs that the agent has added to devices of this node. */
  readonly held: Iterable<Address>
  /** For each egress IP, the blocks of 16 ports that this node leases. */
  readonly leasedBlocks: ReadonlyMap<Address, number>
  readonly takeovers: TakeoverCounts
  /** Undefined: there is no NAT log. */
  readonly natLog: NatLogCounts | undefined
}

type Value = readonly [labels: Readonly<Record<string, string>>, value: number]
type Define = (name: string, help: string, labelNames: string[], read: () => readonly Value[]) => void

/** Functions that define metrics. Values are read at each scrape. Counters are summed elsewhere. */
interface Definitions {
  readonly gauge: Define
  readonly counter: Define
}

/** All values are read at each scrape, so that no metric outlives the object that it describes. */
export function createMetrics(datapath: Datapath, observe: () => Observed): Registry {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({
    register: registry,
    prefix: 'sallyport_agent_',
    eventLoopMonitoringPrecision: loopDelayEveryMs,
  })
  const definitions: Definitions = {
    gauge: (name, help, labelNames, read) => {
      new Gauge({
        name,
        help,
        labelNames,
        registers,
        collect() {
          this.reset()
          for (const [labels, value] of read()) this.set(labels, value)
        },
      })
    },
    counter: (name, help, labelNames, read) => {
      new Counter({
        name,
        help,
        labelNames,
        registers,
        collect() {
          this.reset()
          for (const [labels, value] of read()) this.inc(labels, value)
        },
      })
    },
  }
  defineTraffic(definitions, datapath, observe)
  defineNode(definitions, observe)
  definePorts(definitions, observe)
  defineFailover(definitions, observe)
  defineNatLog(definitions, observe)
  return registry
}

function defineTraffic({ counter, gauge }: Definitions, datapath: Datapath, observe: () => Observed): void {
  counter('sallyport_packets_total', 'Packets by program and final verdict.', ['program', 'verdict'], () =>
    datapath
      .counts()
      .map(({ program, verdict, packets }) => [{ program: program.toLowerCase(), verdict }, Number(packets)]),
  )
  counter(
    'sallyport_refused_flows_total',
    'Dropped packets of new flows by policy, egress IP and verdict. The egress IP is empty if none was chosen.',
    ['policy', 'egress_ip', 'verdict'],
    () => refusedFlows(datapath, observe().tables),
  )
  gauge(
    'sallyport_mappings',
    'Mappings (translated flows) in the table of this node, including expired ones.',
    [],
    () => [[{}, datapath.tables.mappings.count()]],
  )
  gauge('sallyport_mappings_limit', 'Maximum number of mappings in the table of this node.', [], () => [
    [{}, datapath.tables.mappings.raw.maxEntries],
  ])
}

function defineNode({ gauge }: Definitions, observe: () => Observed): void {
  gauge('sallyport_ready', '1 if the agent has applied its tables, 0 otherwise.', [], () => [
    [{}, Number(observe().isReady)],
  ])
  gauge('sallyport_pods', 'Pods on this node that the agent handles.', [], () => [[{}, observe().pods]])
  gauge('sallyport_policies', 'Egress policies in the tables of this node.', [], () => [
    [{}, observe().tables?.policies.size ?? 0],
  ])
}

function definePorts({ gauge }: Definitions, observe: () => Observed): void {
  gauge(
    'sallyport_ports_owned',
    'Ports of each egress IP that this node may use for new flows, from its floor and its leases.',
    ['egress_ip'],
    () =>
      (observe().tables?.pools ?? []).flatMap(({ address, purpose, blocks }): Value[] =>
        purpose === 'egress' ? [[{ egress_ip: address }, blocks.length * blockPorts]] : [],
      ),
  )
  gauge(
    'sallyport_ports_leased',
    'Ports of each egress IP that are leased to this node.',
    ['egress_ip'],
    () =>
      [...observe().leasedBlocks].map(([address, blocks]) => [{ egress_ip: address }, blocks * blockPorts]),
  )
}

function defineFailover({ counter, gauge }: Definitions, observe: () => Observed): void {
  gauge(
    'sallyport_gateway_reachable',
    '1 if the gateway is reachable from this node, 0 if it is not. Only gateways that this node probes are listed.',
    ['gateway'],
    () => {
      const { reachable, unreachable } = observe().reachability
      return [
        ...reachable.map((gateway): Value => [{ gateway }, 1]),
        ...unreachable.map((gateway): Value => [{ gateway }, 0]),
      ]
    },
  )
  gauge(
    'sallyport_egress_ip_held',
    '1 for each egress IP that the agent has added to a device of this node.',
    ['egress_ip'],
    () => [...observe().held].map((address) => [{ egress_ip: address }, 1]),
  )
  counter(
    'sallyport_takeovers_total',
    'Number of times that this node took over an egress IP of another node.',
    [],
    () => [[{}, observe().takeovers.takenOver]],
  )
  counter(
    'sallyport_hand_backs_total',
    'Number of times that this node handed back an egress IP that it had taken over.',
    [],
    () => [[{}, observe().takeovers.handedBack]],
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

const blockPorts = 16

function refusedFlows(datapath: Datapath, tables: Tables | undefined): readonly Value[] {
  return [...datapath.tables.policy_drops.entries()].flatMap(
    ([{ policy: id, egress_ip, verdict }, count]): Value[] => {
      const policy = tables?.policies.get(id)
      if (policy === undefined) return [] /* no policy was involved, or it is deleted */
      const address = egress_ip === '::' ? '' : egress_ip
      return [[{ policy: `${policy.kind}/${policy.name}`, egress_ip: address, verdict }, Number(count)]]
    },
  )
}
