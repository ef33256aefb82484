import type { Datapath } from '../../../datapath/datapath.ts'
import { resolve } from '../../../decide/resolve.ts'
import type { World } from '../../../decide/world.ts'
import type { Configuration } from '../../../install/configuration.ts'
import type { KubeObject } from '../../../kube/client.ts'
import type { Netlink } from '../../../linux/netlink.ts'
import { lookUpRoute } from '../../../linux/route-lookup.ts'
import type { Route } from '../../../linux/routes.ts'
import { type Address, parseAddress } from '../../../net/address.ts'
import type { Clock } from '../../../runtime/clock.ts'
import type { Random } from '../../../runtime/random.ts'
import { unusableAddresses } from '../../failover/address-claims.ts'
import { boundDevices } from '../../node/native-devices.ts'
import { planDatapath } from '../../plan.ts'
import type { Decided, Snapshot } from '../../snapshot.ts'
import { HttpError } from '../http-error.ts'
import { DryRuns } from './dry-runs.ts'
import { explainFlow } from './explain-flow.ts'
import type { ExplainRequest, Explanation, WayOut } from './explanation.ts'

interface AskingOptions {
  readonly self: string
  readonly datapath: Datapath
  readonly netlink: Netlink
  readonly configuration: Configuration
  readonly sharesAddress: boolean
  readonly clock: Clock
  readonly random: Random
}

/** Answers what becomes of a packet, from one snapshot, from this node's routes, and from the datapath's program. */
export class Asking {
  readonly #options: AskingOptions
  readonly #dryRuns: DryRuns

  constructor(options: AskingOptions) {
    this.#options = options
    this.#dryRuns = new DryRuns(options.datapath, options.clock)
  }

  async explain(snapshot: Snapshot, request: ExplainRequest): Promise<Explanation> {
    const { datapath, configuration, sharesAddress, clock, random } = this.#options
    const decided = decidedIn(snapshot)
    const isHypothetical = request.policies !== undefined
    const world = isHypothetical
      ? withPolicies(decided.world, request.policies ?? [], new Date(clock.now()).toISOString())
      : decided.world
    const tables = isHypothetical ? resolve(world) : decided.tables
    const bound = boundDevices(snapshot.failover.devices)
    const desired = planDatapath(tables, snapshot.attachments, decided.applied.overlay, {
      lingering: decided.lingering,
      unusable: unusableAddresses(snapshot.failover),
      bound,
    })
    const said = await explainFlow(
      {
        ...{ world, tables, desired, isHypothetical, datapath, configuration, sharesAddress, random },
        dryRuns: this.#dryRuns,
        attachments: snapshot.attachments,
        nowNs: () => clock.monotonicNs(),
        route: (destination, source) => this.#route(snapshot, destination, source),
        deviceName: (ifindex) => snapshot.failover.devices.find(({ index }) => index === ifindex)?.name,
      },
      request,
    )
    const { egressIp, device } = said.program
    if (egressIp === undefined || device === undefined) return said
    const to = said.service?.endpoint?.address ?? said.flow.destination
    return { ...said, wayOut: this.wayOut(snapshot, egressIp, to) }
  }

  /** How this node sends packets with an egress IP. */
  wayOut(snapshot: Snapshot, from: string, to: string): WayOut {
    const [source, destination] = [from, to].map((text) => parseAddress(text))
    if (source === undefined || destination === undefined)
      throw new HttpError(400, `${source === undefined ? from : to} is not an IP address`)
    const route = this.#route(snapshot, destination, source)
    const device = snapshot.failover.devices.find(({ index }) => index === route?.ifindex)
    const mtu = route?.mtu ?? device?.mtu
    return {
      ...{ node: this.#options.self, source, destination },
      ...(device === undefined ? {} : { device: device.name }),
      ...(route?.via === undefined ? {} : { nextHop: route.via }),
      ...(mtu === undefined ? {} : { mtu }),
    }
  }

  /** A source that this node does not have yet cannot choose the route. */
  #route({ failover }: Snapshot, destination: Address, source: Address): Route | undefined {
    const isHere = failover.devices.some(({ addresses }) => addresses.includes(source))
    const ifindex = boundDevices(failover.devices).get(source)
    return lookUpRoute(this.#options.netlink, {
      destination,
      ...(isHere ? { source } : {}),
      ...(ifindex === undefined ? {} : { ifindex }),
    })
  }
}

export function decidedIn({ decided }: Snapshot): Decided {
  if (decided === undefined) throw new HttpError(503, 'the agent has not written its tables yet')
  return decided
}

/** Given policies take the place of those with their names. New ones are the youngest. */
function withPolicies(world: World, policies: readonly object[], now: string): World {
  const given = policies as readonly KubeObject[]
  const replaced = <T extends { readonly metadata: { readonly name: string } }>(
    kind: string,
    present: readonly T[],
  ): readonly T[] => {
    const ofKind = given.filter((each) => each.kind === kind)
    const changed = ofKind.map((each) => {
      const before = present.find(({ metadata }) => metadata.name === each.metadata.name)
      const metadata = { creationTimestamp: now, ...before?.metadata, name: each.metadata.name }
      return { ...before, ...each, metadata } as unknown as T
    })
    const names = new Set(ofKind.map(({ metadata }) => metadata.name))
    return [...present.filter(({ metadata }) => !names.has(metadata.name)), ...changed]
  }
  return {
    ...world,
    ciliumPolicies: replaced('CiliumEgressGatewayPolicy', world.ciliumPolicies),
    isovalentPolicies: replaced('IsovalentEgressGatewayPolicy', world.isovalentPolicies),
  }
}
