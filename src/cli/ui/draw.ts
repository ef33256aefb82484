import type { EgressView, PageView } from '../../agent/api/local-api.ts'
import type { EgressAddress } from '../../api/egress-address.ts'
import type { EgressNode } from '../../api/egress-node.ts'
import type { PolicySummary } from '../../api/policy-fields.ts'
import type { AddressTruth, Moment, NodeTruth, Picture, PolicyTruth, Route } from '../../ui/picture.ts'

/** A policy of either kind. */
export interface Policy {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly status?: {
    readonly conditions?:
      | readonly {
          readonly type: string
          readonly status: 'True' | 'False' | 'Unknown'
          readonly reason: string
          readonly message: string
        }[]
      | undefined
    readonly summary?: PolicySummary | undefined
  }
}

/** The last answer of an agent to /v1/egress, and whether the last request failed. */
export interface Said {
  readonly egress: readonly EgressView[]
  /** Missing if the agent never answered. */
  readonly answeredAt?: string
  readonly failure?: string
}

interface Sources {
  readonly policies: readonly Policy[]
  readonly addresses: readonly EgressAddress[]
  readonly nodes: readonly EgressNode[]
  readonly said: ReadonlyMap<string, Said>
  readonly timeline: readonly Moment[]
  readonly unknown: readonly string[]
}

const portsOfBlock = 16

/** The page's picture. It repeats what the sources say, and decides nothing. */
export function drawPicture(sources: Sources, at: string): Picture {
  return {
    at,
    policies: sources.policies.map(drawPolicy),
    addresses: sources.addresses.map((address) => drawAddress(address, sources)),
    nodes: drawNodes(sources),
    routes: [...sources.said].flatMap(([node, { egress }]) =>
      egress.flatMap((view) => drawRoutes(node, view)),
    ),
    timeline: sources.timeline,
    unknown: [
      ...sources.unknown,
      ...[...sources.said].flatMap(([node, { failure }]) =>
        failure === undefined ? [] : [`The agent on node ${node} does not answer: ${failure}`],
      ),
    ],
  }
}

function drawPolicy({ kind, metadata, status }: Policy): PolicyTruth {
  const ready = status?.conditions?.find(({ type }) => type === 'Ready')
  const { pods, gateways = '', egressIPs = '' } = status?.summary ?? {}
  return {
    kind,
    name: metadata.name,
    ready: ready?.status ?? 'Unknown',
    reason: ready?.reason ?? 'NoStatus',
    message: ready?.message ?? 'The operator has not reported on this policy yet.',
    ...(pods === undefined ? {} : { pods }),
    gateways,
    egressIps: egressIPs,
  }
}

function drawAddress({ spec }: EgressAddress, { said, nodes }: Sources): AddressTruth {
  const bySlot = new Map(nodes.map((node) => [node.spec?.slot, node.metadata.name]))
  const leased = new Map<string, number>()
  for (const { slot, blocks } of spec.leases ?? []) {
    const name = bySlot.get(slot) ?? `slot ${slot}`
    leased.set(name, (leased.get(name) ?? 0) + blocks * portsOfBlock)
  }
  const seen = [...said].flatMap(([node, { egress }]) => {
    const found = egress.flatMap(({ egressIps }) =>
      egressIps.filter(({ address }) => address === spec.address),
    )
    const [first] = found
    if (first === undefined) return []
    /* Ports are the node's. Flows are those of one pod to one destination. */
    return [{ node, ...first, flows: found.reduce((sum, { flows }) => sum + flows, 0) }]
  })
  return {
    address: spec.address,
    owner: spec.owner ?? '',
    holders: [...new Set(seen.flatMap(({ holder }) => holder ?? []))].sort(),
    leases: [...leased].map(([node, ports]) => ({ node, ports })),
    users: seen.map(({ node, portsOwned, flows }) => ({ node, portsOwned, flows })),
    isShort: spec.isShort ?? false,
  }
}

function drawNodes({ nodes, said, addresses }: Sources): readonly NodeTruth[] {
  const owners = new Set(addresses.map(({ spec }) => spec.owner))
  return nodes.map(({ metadata: { name }, status }) => {
    const { answeredAt, failure } = said.get(name) ?? { failure: 'it was not asked yet' }
    const unreachableFrom = nodes
      .filter((node) => node.status?.unreachable?.includes(name))
      .map((node) => node.metadata.name)
    const isGateway =
      owners.has(name) ||
      nodes.some((node) => (node.status?.heard ?? []).includes(name)) ||
      unreachableFrom.length > 0
    return {
      name,
      isGateway: isGateway && status !== undefined,
      unreachableFrom,
      ...(answeredAt === undefined ? {} : { answeredAt }),
      ...(failure === undefined ? {} : { failure }),
    }
  })
}

function drawRoutes(node: string, view: EgressView): readonly Route[] {
  const { pod, policy, destination, action, reason, egressIps } = view
  const route = {
    pod: `${pod.namespace}/${pod.name}`,
    node,
    policy: policy.name,
    destination,
    action,
    ...(reason === undefined ? {} : { reason }),
  }
  const used = egressIps.filter(({ takesNewFlows, flows }) => takesNewFlows || flows > 0)
  if (used.length === 0) return [route]
  return used.map(({ address, holder, path }) => ({
    ...route,
    egressIp: address,
    ...(holder === undefined ? {} : { holder }),
    ...(path === undefined ? {} : { path }),
  }))
}

/** What changed in the probes' results between two reports of a node. */
export function probeMoments(
  before: EgressNode | undefined,
  after: EgressNode | undefined,
  time: string,
): readonly Moment[] {
  if (before === undefined || after === undefined) return []
  const node = after.metadata.name
  const was = new Set(before.status?.unreachable)
  const is = new Set(after.status?.unreachable)
  return [
    ...[...is]
      .filter((gateway) => !was.has(gateway))
      .map((gateway) => ({
        time,
        about: 'probe lost',
        text: `${gateway} does not answer the probes of ${node}`,
        isBad: true,
      })),
    ...[...was]
      .filter((gateway) => !is.has(gateway))
      .map((gateway) => ({
        time,
        about: 'probe back',
        text: `${gateway} answers the probes of ${node} again`,
        isBad: false,
      })),
  ]
}

/** What the agent of a node has noted of failovers. */
export function agentMoment(
  node: string,
  { time, kind, egressIp, afterMs = 0 }: PageView['moments'][number],
): Moment {
  if (kind === 'announced')
    return {
      time,
      about: 'address announced',
      text: `${node} announced ${egressIp} on its link`,
      isBad: false,
    }
  const text = `${node} gets packets for ${egressIp} again, ${Math.round(afterMs)} ms after the last answer of the gateway that failed`
  return { time, about: 'flows back', text, isBad: false }
}

/** What changed in a node's view of the holders between two answers of its agent. */
export function holderMoments(
  node: string,
  before: readonly EgressView[],
  after: readonly EgressView[],
  time: string,
): readonly Moment[] {
  const holdersOf = (views: readonly EgressView[]): Map<string, string | undefined> =>
    new Map(
      views.flatMap(({ egressIps }) => egressIps.map(({ address, holder }) => [address, holder] as const)),
    )
  const old = holdersOf(before)
  return [...holdersOf(after)]
    .filter(([address, holder]) => old.get(address) !== undefined && old.get(address) !== holder)
    .map(([address, holder]) => ({
      time,
      about: 'holder changed',
      text: `${node} sends packets of ${address} to ${holder ?? 'no gateway'}, before to ${old.get(address)}`,
      isBad: holder === undefined,
    }))
}
