import type { LabelSelector } from '../api/label-selector.ts'
import { type Address, parseAddress } from '../net/address.ts'
import { type Prefix, parsePrefix } from '../net/prefix.ts'
import { contentId } from './ids.ts'
import { selectorProblem } from './select.ts'
import type { World } from './world.ts'

/** Where traffic may leave: the nodes, and which of their addresses. */
export interface Exit {
  readonly nodeSelector: LabelSelector
  readonly address: AddressChoice
  /** How many of the nodes are active; undefined: all. */
  readonly maxGatewayNodes: number | undefined
}

export type AddressChoice =
  | { readonly by: 'address'; readonly address: Address }
  | { readonly by: 'interface'; readonly name: string }
  | { readonly by: 'defaultRoute' }

export interface PodSelection {
  readonly pods: LabelSelector
  readonly namespaces: LabelSelector | undefined
  readonly nodes: LabelSelector | undefined
}

export type ZoneAffinity = 'disabled' | 'localOnly' | 'localOnlyFirst' | 'localPriority'

/** Both kinds of policy in one form. */
export interface Policy {
  readonly id: bigint
  readonly kind: 'CiliumEgressGatewayPolicy' | 'IsovalentEgressGatewayPolicy'
  readonly name: string
  readonly generation: number | undefined
  /** Of equal destinations the older policy's counts: creation time, then name. */
  readonly age: string
  readonly selections: readonly PodSelection[]
  readonly destinations: readonly Prefix[]
  readonly exclusions: readonly Prefix[]
  /** `one`: each pod uses one exit, and of it the first node. `all`: connections are spread over all nodes of all exits. */
  readonly spread: 'one' | 'all'
  readonly exits: readonly Exit[]
  readonly zoneAffinity: ZoneAffinity
  /** What cannot be honoured, in words. What such a policy selects is dropped. */
  readonly problems: readonly string[]
}

/** Deterministic order: the oldest first. */
export function listPolicies(world: World): Policy[] {
  const cilium = world.ciliumPolicies.map((policy) => {
    const { egressGateway, egressGateways } = (policy.spec ?? {}) as Loose
    const gateways =
      Array.isArray(egressGateways) && egressGateways.length > 0 ? egressGateways : [egressGateway]
    return readPolicy('CiliumEgressGatewayPolicy', policy, 'one', gateways, 'disabled')
  })
  const isovalent = world.isovalentPolicies.map((policy) => {
    const { egressGroups, azAffinity, egressCIDRs } = (policy.spec ?? {}) as Loose
    const groups = Array.isArray(egressGroups) ? egressGroups : []
    const read = readPolicy('IsovalentEgressGatewayPolicy', policy, 'all', groups, readAffinity(azAffinity))
    const isPooled = Array.isArray(egressCIDRs) && egressCIDRs.length > 0
    return isPooled ? { ...read, problems: [...read.problems, 'egressCIDRs is not supported yet'] } : read
  })
  return [...cilium, ...isovalent].sort((a, b) => (a.age < b.age ? -1 : a.age > b.age ? 1 : 0))
}

type Loose = Record<string, unknown>

function readAffinity(value: unknown): ZoneAffinity {
  return value === 'localOnly' || value === 'localOnlyFirst' || value === 'localPriority' ? value : 'disabled'
}

/** Objects of clusters with another product's definitions may be anything: nothing here throws. */
function readPolicy(
  kind: Policy['kind'],
  object: {
    readonly metadata: {
      readonly name: string
      readonly uid?: string
      readonly generation?: number
      readonly creationTimestamp?: string
    }
    readonly spec: unknown
  },
  spread: Policy['spread'],
  gateways: readonly unknown[],
  zoneAffinity: ZoneAffinity,
): Policy {
  const { name, uid, generation, creationTimestamp } = object.metadata
  const spec = (object.spec ?? {}) as Loose
  const problems: string[] = []
  const destinations = readPrefixes(spec.destinationCIDRs, 'destination', problems)
  if (destinations.length === 0 && problems.length === 0) problems.push("destinationCIDRs can't be empty")
  return {
    id: contentId('policy', kind, uid ?? name),
    kind,
    name,
    generation,
    age: `${creationTimestamp ?? '9999'} ${name} ${kind}`,
    selections: readSelections(spec.selectors, problems),
    destinations,
    exclusions: readPrefixes(spec.excludedCIDRs, 'excluded', problems),
    spread,
    exits: gateways.flatMap((gateway) => readExit(gateway, problems)),
    zoneAffinity,
    problems,
  }
}

function readPrefixes(value: unknown, what: string, problems: string[]): Prefix[] {
  const texts = Array.isArray(value) ? value : []
  return texts.flatMap((text) => {
    const prefix = typeof text === 'string' ? parsePrefix(text) : undefined
    if (prefix === undefined) problems.push(`failed to parse ${what} CIDR ${String(text)}`)
    return prefix ?? []
  })
}

/** A selector that cannot be understood selects nothing, and the status says so: nobody can know whom it meant. */
function readSelections(value: unknown, problems: string[]): PodSelection[] {
  const items: readonly Loose[] = Array.isArray(value) ? value : []
  return items.flatMap((item) => {
    const { podSelector, namespaceSelector, nodeSelector } = item ?? {}
    if (podSelector === undefined && namespaceSelector === undefined) {
      problems.push('cannot have both nil namespace selector and nil pod selector')
      return []
    }
    const given = [podSelector, namespaceSelector, nodeSelector].filter((selector) => selector !== undefined)
    const problem = given.map(selectorProblem).find((each) => each !== undefined)
    if (problem !== undefined) {
      problems.push(problem)
      return []
    }
    return [
      {
        pods: (podSelector ?? {}) as LabelSelector,
        namespaces: namespaceSelector as LabelSelector | undefined,
        nodes: nodeSelector as LabelSelector | undefined,
      },
    ]
  })
}

function readExit(value: unknown, problems: string[]): Exit[] {
  if (typeof value !== 'object' || value === null) {
    problems.push("egressGateway can't be empty")
    return []
  }
  const { nodeSelector, interface: name, egressIP, maxGatewayNodes } = value as Loose
  const problem = nodeSelector === undefined ? "egressGateway can't be empty" : selectorProblem(nodeSelector)
  if (problem !== undefined) {
    problems.push(problem)
    return []
  }
  const address = readAddressChoice(name, egressIP, problems)
  if (address === undefined) return []
  const most = typeof maxGatewayNodes === 'number' && maxGatewayNodes > 0 ? maxGatewayNodes : undefined
  return [{ nodeSelector: nodeSelector as LabelSelector, address, maxGatewayNodes: most }]
}

function readAddressChoice(name: unknown, egressIP: unknown, problems: string[]): AddressChoice | undefined {
  const [hasName, hasAddress] = [name !== undefined && name !== '', egressIP !== undefined && egressIP !== '']
  if (hasName && hasAddress) {
    problems.push("gateway configuration can't specify both an interface and an egress IP")
    return undefined
  }
  if (hasName) return { by: 'interface', name: String(name) }
  if (!hasAddress) return { by: 'defaultRoute' }
  const address = parseAddress(String(egressIP))
  if (address === undefined) problems.push(`failed to parse egress IP ${String(egressIP)}`)
  return address && { by: 'address', address }
}
