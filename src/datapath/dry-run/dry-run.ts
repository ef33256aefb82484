import type { Address } from '../../net/address.ts'
import { macText } from '../../net/mac.ts'
import type { Datapath } from '../datapath.ts'
import { type Desired, encodeDesired, writeOrder } from '../desired.ts'
import { lookup, put, putAll, type RawMap, readAll, removeAll } from '../maps/maps.ts'
import { Table } from '../maps/table.ts'
import { takeTurn } from '../maps/turn.ts'
import type { FlowKey, Mapping } from '../tables/flow-tables.ts'
import type { Endpoint, ServiceKey } from '../tables/service-tables.ts'
import type { SimulatedRun } from '../tables/simulated-tables.ts'
import { tableCodecs } from '../tables/table-codecs.ts'
import { testRun } from '../test-run.ts'
import { type LoadedBeside, loadBeside } from './load-beside.ts'

/** The maps that from_pod only reads. The agent writes them, and from_overlay notes in one of them who answers probes. */
const readOnly: ReadonlySet<string> = new Set([
  ...writeOrder,
  'probed_gateways',
  'liveness',
  'simulated_routes',
])

/** The other maps are written by the program, so it gets its own. Those of one packet and of the ports around it are small. */
const ownEntries = 1 << 17
const ownSizes: Readonly<Record<string, number>> = {
  mappings: ownEntries,
  ports: ownEntries,
  pod_flows: 1 << 12,
  inbound: 1 << 10,
  fragments: 1 << 10,
  service_flows: 1 << 10,
  service_replies: 1 << 10,
  affinities: 1 << 10,
  client_flows: 1 << 10,
  client_replies: 1 << 10,
  pool_pressures: 1 << 10,
  policy_drops: 1 << 10,
  ended_flows: 1 << 10,
  drops: 1 << 12,
  pressures: 1 << 12,
  passages: 1 << 12,
}

/** No flow that had a packet within this time has expired: dns_answered_ns of bpf/config.h is the shortest timer. */
const idleNs = 5_000_000_000n

/** What became of a packet. */
export interface DryOutcome extends Pick<SimulatedRun, 'verdict' | 'departure'> {
  /** The device by which the packet would have left. */
  readonly ifindex: number
  /** The node to which the tunnel would have carried it. */
  readonly node: Address | undefined
  /** The destination MAC of the frame as the program left it. */
  readonly nextMac: string
  /** Of the flow that the packet opened. */
  readonly mapping: Mapping | undefined
  /** What the packet's flow got, if its destination is a Service that the program translates. */
  readonly endpoint: Endpoint | undefined
}

/**
 * The program from_pod once more, on the tables that the running one has, or on others. It writes into maps of its own, and no packet
 * is sent. So it shows what would become of a packet, and nothing of the node changes.
 *
 * The program is loaded with `dry_run` (bpf/config.h) and the running one's knobs. Close it soon: it is not attached to anything, and
 * its maps take some megabytes.
 */
export class DryRun implements Disposable {
  readonly #datapath: Datapath
  readonly #loaded: LoadedBeside
  readonly #mappings: Table<FlowKey, Mapping>
  readonly #runs: Table<number, SimulatedRun>
  readonly #endpoints: Table<FlowKey, Endpoint>

  private constructor(datapath: Datapath, loaded: LoadedBeside) {
    this.#datapath = datapath
    this.#loaded = loaded
    const { mappings, simulated_run, service_flows } = datapath.tables
    this.#endpoints = new Table(loaded.map('service_flows'), service_flows.key, service_flows.value)
    this.#mappings = new Table(loaded.map('mappings'), mappings.key, mappings.value)
    this.#runs = new Table(loaded.map('simulated_run'), simulated_run.key, simulated_run.value)
  }

  /** On the tables as they are, or as they would be if the agent wrote `desired`. */
  static async open(datapath: Datapath, desired?: Desired): Promise<DryRun> {
    const { objectFile, btf, knobs } = datapath
    const isShared = (name: string): boolean =>
      readOnly.has(name) && (desired === undefined || !(writeOrder as readonly string[]).includes(name))
    const tables = datapath.tables as Readonly<Record<string, { readonly raw: RawMap }>>
    const loaded = await loadBeside({
      objectFile,
      btf,
      knobs: { ...knobs, dry_run: 1, flow_log: 0 },
      program: 'from_pod',
      presentMap: (name) => (isShared(name) ? tables[name]?.raw.fd : undefined),
      maxEntries: (name) => (isShared(name) ? undefined : ownSizes[name]),
    })
    const run = new DryRun(datapath, loaded)
    try {
      if (desired !== undefined) await run.#write(desired)
    } catch (error) {
      run[Symbol.dispose]()
      throw error
    }
    return run
  }

  async #write(desired: Desired): Promise<void> {
    const wanted = encodeDesired(tableCodecs(this.#datapath.btf), desired)
    for (const name of writeOrder) {
      const entries = [...wanted[name]].map(([key, value]) => [Buffer.from(key, 'latin1'), value] as const)
      for (const _chunk of putAll(this.#loaded.map(name), entries)) await takeTurn()
    }
  }

  /**
   * Copies the flows that use these ports, and the pod's number of flows, from the running program's tables into the dry run's own. A port
   * is the key of `ports`: the flow as the world sees it. Returns the port numbers in use.
   */
  async take(
    ports: Iterable<FlowKey>,
    pod: { readonly pod: Address; readonly egress_ip: Address },
  ): Promise<Taken> {
    const { ports: present, mappings, pod_flows } = this.#datapath.tables
    const [own, ownMappings] = [this.#loaded.map('ports'), this.#loaded.map('mappings')]
    const taken: Taken = { ports: new Set(), reclaimable: new Set(), flows: pod_flows.get(pod) ?? 0 }
    new Table(this.#loaded.map('pod_flows'), pod_flows.key, pod_flows.value).set(pod, taken.flows)
    let looked = 0
    for (const port of ports) {
      if (++looked % perTurn === 0) await takeTurn()
      const key = present.key.encode(port)
      const flow = lookup(present.raw, key)
      if (flow === undefined) continue
      taken.ports.add(port.source_port)
      if (taken.ports.size * 2 > ownEntries) continue
      put(own, key, flow)
      const mapping = lookup(mappings.raw, flow)
      if (mapping !== undefined) put(ownMappings, flow, mapping)
      if (mapping === undefined || this.#mayBeOver(flow, mapping)) taken.reclaimable.add(port.source_port)
    }
    return taken
  }

  /** Closed, idle, or of a pod that is gone: is_reclaimable of bpf/mapping.h says yes only to some of these. */
  #mayBeOver(flow: Buffer, bytes: Buffer): boolean {
    const { mappings, pods } = this.#datapath.tables
    const pod = pods.get(mappings.key.decode(flow).source)
    const { closed_ns, created_ns, last_outward_ns, last_inward_ns } = mappings.value.decode(bytes)
    const idleSinceNs = process.hrtime.bigint() - idleNs
    const isIdle = last_outward_ns < idleSinceNs && last_inward_ns < idleSinceNs
    return closed_ns > 0n || isIdle || pod === undefined || created_ns < pod.sinceNs
  }

  /** The endpoint that the client had last, by session affinity. The next runs know it, too. */
  takeAffinity(
    service: ServiceKey,
    client: Address,
  ): { readonly endpoint: Endpoint; readonly lastNs: bigint } | undefined {
    const { affinities } = this.#datapath.tables
    const { address, port, protocol } = service
    const key = { service: { address, port, protocol }, client }
    const last = affinities.get(key)
    if (last !== undefined)
      new Table(this.#loaded.map('affinities'), affinities.key, affinities.value).set(key, last)
    return last
  }

  /** The flow gets this endpoint, as a flow does that is already open. */
  keepEndpoint(flow: FlowKey, endpoint: Endpoint): void {
    this.#endpoints.set(flow, endpoint)
  }

  /** Forgets the flows of earlier runs. */
  reset(): void {
    for (const name of ['mappings', 'ports', 'pod_flows', 'service_flows', 'service_replies', 'affinities']) {
      const map = this.#loaded.map(name)
      for (const _chunk of removeAll(
        map,
        [...readAll(map)].flat().map(([key]) => key),
      ));
    }
  }

  /** Runs the program on a packet that comes by the device. `flow` is the packet's, to find what it opened. */
  run(packet: Buffer, ifindex: number, flow: FlowKey, { nowNs, random }: Simulated): DryOutcome {
    this.#runs.set(0, {
      now_ns: nowNs,
      random,
      ...{ tunnel_source: nowhere, tunnel_vni: 0, ifindex, has_own_socket: false },
      ...{ verdict: 'CONTINUE', departure: 'DEPARTED_NOT' },
      ...{ sent_ifindex: 0, sent_vni: 0, sent_node: nowhere },
    })
    const { out } = testRun(this.#loaded.programFd, packet, { ifindex })
    const ended = this.#runs.get(0)
    if (ended === undefined) throw new Error('the program left no result of its run')
    const endpoint = this.#endpoints.get(flow)
    const opened =
      endpoint === undefined
        ? flow
        : { ...flow, destination: endpoint.address, destination_port: endpoint.port }
    return {
      endpoint,
      verdict: ended.verdict,
      departure: ended.departure,
      ifindex: ended.sent_ifindex,
      node: ended.departure === 'DEPARTED_INTO_TUNNEL' ? ended.sent_node : undefined,
      nextMac: macText(out.subarray(0, 6)),
      mapping: this.#mappings.get(opened),
    }
  }

  [Symbol.dispose](): void {
    this.#loaded[Symbol.dispose]()
  }
}

/** Read by the programs of a simulation only. Those of a node ask their kernel. */
interface Simulated {
  readonly nowNs: bigint
  readonly random: bigint
}

const nowhere = '::' as Address
/** Lookups before the process gets a turn: about 2 ms. */
const perTurn = 1024

interface Taken {
  /** The ports in use. */
  readonly ports: Set<number>
  /** Those of them whose flows may be over, so that another flow may get the port. The program decides. */
  readonly reclaimable: Set<number>
  /** Flows that the pod has of the egress IP. */
  readonly flows: number
}
