import type { CiliumEgressGatewayPolicy } from '../../api/cilium-egress-gateway-policy.ts'
import type { IsovalentEgressGatewayPolicy } from '../../api/isovalent-egress-gateway-policy.ts'
import type { LabelSelector } from '../../api/label-selector.ts'
import type { ObjectMeta } from '../../api/metadata.ts'
import { type NatLogChoice, natLogRemarks, readNatLogChoice } from '../../api/nat-log-annotation.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import { type Prefix, parsePrefix } from '../../net/prefix.ts'
import { unusableKind, unusablePart } from '../gateways/usable-addresses.ts'
import { contentId } from '../ids.ts'
import { oncePerObject } from '../once-per-object.ts'
import type { Grants } from '../pools/egress-pool.ts'
import { readGrants, withoutForeignGrants } from '../pools/pool-grants.ts'
import type { World } from '../world.ts'
import { type PodSelection, readPodSelection, type Selectors } from './pod-selection.ts'
import { asText, type LabelTest, selectorProblem } from './select.ts'
import { specRemarks } from './spec-remarks.ts'

/** Where traffic may leave: the nodes, and the address that they use. */
export interface Exit {
  /** The field of the policy, for example `egressGroups[1]`. */
  readonly field: string
  readonly selectsNode: LabelTest
  /** Exits with the same key have the same gateways. Undefined if the exit has no key. */
  readonly likeness: string | undefined
  readonly address: AddressChoice
  /** How many of the nodes are active. Undefined for all. */
  readonly maxGatewayNodes: number | undefined
}

export type AddressChoice =
  | { readonly by: 'address'; readonly address: Address }
  | { readonly by: 'interface'; readonly name: string }
  | { readonly by: 'defaultRoute' }
  /** Addresses that the operator gave. They are on the named interface, or else on the interface of the default route. */
  | { readonly by: 'pool'; readonly interface: string | undefined; readonly granted: Grants }

type ZoneAffinity = 'disabled' | 'localOnly' | 'localOnlyFirst' | 'localPriority'

/** Both kinds of policy in one form. */
export interface Policy {
  readonly id: bigint
  readonly kind: 'CiliumEgressGatewayPolicy' | 'IsovalentEgressGatewayPolicy'
  readonly name: string
  readonly generation: number | undefined
  /** A sort key of creation time and name. For equal destinations the older policy wins. */
  readonly age: string
  readonly selections: readonly PodSelection[]
  readonly destinations: readonly Prefix[]
  readonly exclusions: readonly Prefix[]
  /** `one`: each pod uses one exit, and its first node. `all`: connections are spread over all nodes of all exits. */
  readonly spread: 'one' | 'all'
  readonly exits: readonly Exit[]
  readonly zoneAffinity: ZoneAffinity
  /** The pool of the gateways' addresses. If empty, the exits name the addresses. */
  readonly egressPool: readonly Prefix[]
  /** Why the policy cannot be honoured. Traffic that such a policy selects is dropped. */
  readonly problems: readonly string[]
  /** Likely mistakes. The policy is applied as it is written. */
  readonly remarks: readonly string[]
  readonly natLog: NatLogChoice | undefined
}

/** Sorted by age, the oldest first. */
export function listPolicies(world: Pick<World, 'ciliumPolicies' | 'isovalentPolicies'>): Policy[] {
  const policies = [...world.ciliumPolicies.map(readCilium), ...world.isovalentPolicies.map(readIsovalent)]
  return withoutForeignGrants(policies.sort((a, b) => (a.age < b.age ? -1 : a.age > b.age ? 1 : 0)))
}

type Versioned = Pick<Policy, 'id' | 'generation'>

/** A policy as one of its edits left it. Two policies of one name, one after the other, differ too. */
export const versionOf = ({ id, generation }: Versioned): string => `${id.toString(16)}.${generation ?? 0}`

/**
 * One word for a set of policies with their edits. Agents report it, and the operator compares it with its own, so all of them must compute
 * it alike.
 */
export function digestPolicies(policies: readonly Versioned[]): string {
  return asDigest('policies', policies.map(versionOf))
}

/** The addresses that a policy's gateways got from its pool, as one text. Empty if the policy has no pool. */
export function grantsOf({ exits }: Pick<Policy, 'exits'>): string {
  const granted = exits.map(({ address }) => (address.by === 'pool' ? [...address.granted] : []))
  return granted
    .flatMap((grants, which) => grants.map(([gateway, ips]) => `${which} ${gateway} ${ips[4]} ${ips[6]}`))
    .sort()
    .join(';')
}

/** The same for the addresses of all pools as for the edits of policies. */
export function digestGrants(policies: readonly Pick<Policy, 'id' | 'exits'>[]): string {
  const texts = policies.map((policy) => [policy.id.toString(16), grantsOf(policy)] as const)
  return asDigest(
    'grants',
    texts.flatMap(([id, grants]) => (grants === '' ? [] : `${id} ${grants}`)),
  )
}

function asDigest(what: string, texts: readonly string[]): string {
  return contentId(what, ...texts.toSorted())
    .toString(16)
    .padStart(16, '0')
}

/* In a cluster with another product's definitions, an object may have any content. Nothing below throws because of it. */

type Loose = Readonly<Record<string, unknown>>

const readCilium = oncePerObject((object: CiliumEgressGatewayPolicy): Policy => {
  const { egressGateway, egressGateways } = (object.spec ?? {}) as Loose
  const hasList = Array.isArray(egressGateways) && egressGateways.length > 0
  const gateways = hasList ? egressGateways : [egressGateway]
  const problems: string[] = []
  return {
    ...readCommon('CiliumEgressGatewayPolicy', object, problems),
    spread: 'one',
    exits: gateways.flatMap((gateway, index) =>
      readExit(gateway, hasList ? `egressGateways[${index}]` : 'egressGateway', problems),
    ),
    zoneAffinity: 'disabled',
    egressPool: [],
  }
})

const readIsovalent = oncePerObject((object: IsovalentEgressGatewayPolicy): Policy => {
  const { egressGroups, azAffinity, egressCIDRs } = (object.spec ?? {}) as Loose
  const problems: string[] = []
  const groups = Array.isArray(egressGroups) ? egressGroups : []
  if (groups.length === 0) problems.push("egressGroups can't be empty")
  const egressPool = readPrefixes(egressCIDRs, 'egress', problems).filter((prefix) => {
    const unusable = unusablePart(prefix)
    if (unusable !== undefined) problems.push(`egressCIDRs has ${prefix}, but no node can have ${unusable}`)
    return unusable === undefined
  })
  const hasPool = listOf(egressCIDRs).length > 0
  const statuses = listOf((object.status as Loose | undefined)?.groupStatuses)
  return {
    ...readCommon('IsovalentEgressGatewayPolicy', object, problems),
    spread: 'all',
    exits: groups.flatMap((group, index) =>
      readExit(group, `egressGroups[${index}]`, problems, hasPool ? readGrants(statuses[index]) : undefined),
    ),
    zoneAffinity: readAffinity(azAffinity, problems),
    egressPool,
  }
})

const affinities: readonly unknown[] = ['disabled', 'localOnly', 'localOnlyFirst', 'localPriority']

function readAffinity(value: unknown, problems: string[]): ZoneAffinity {
  if (value === undefined || value === null || value === '') return 'disabled'
  if (affinities.includes(value)) return value as ZoneAffinity
  problems.push(`azAffinity ${asText(value)} is unknown: use one of ${affinities.join(', ')}`)
  return 'disabled'
}

/** The fields that both kinds have. Problems that are found later are added to the same list. */
function readCommon<K extends Policy['kind']>(
  kind: K,
  { metadata, spec: given }: { readonly metadata: ObjectMeta; readonly spec: unknown },
  problems: string[],
) {
  const { name, uid, generation, creationTimestamp } = metadata
  const spec = (given ?? {}) as Loose
  return {
    id: contentId('policy', kind, uid ?? name),
    kind,
    name,
    generation,
    age: `${creationTimestamp ?? '9999'} ${name} ${kind}`,
    selections: readSelections(spec.selectors, problems),
    destinations: readDestinations(spec.destinationCIDRs, problems),
    exclusions: readPrefixes(spec.excludedCIDRs, 'excluded', problems),
    problems,
    remarks: [...specRemarks(spec), ...natLogRemarks(metadata)],
    natLog: readNatLogChoice(metadata),
  }
}

const everything = ['0.0.0.0/0', '::/0'] as readonly string[] as readonly Prefix[]

/**
 * A destination that cannot be read may mean any prefix. So it counts as all destinations, and the policy's problem makes
 * their traffic drop.
 */
function readDestinations(value: unknown, problems: string[]): readonly Prefix[] {
  const unread: string[] = []
  const prefixes = readPrefixes(value, 'destination', unread)
  problems.push(...unread)
  if (unread.length > 0) return [...new Set([...prefixes, ...everything])]
  if (prefixes.length === 0) problems.push("destinationCIDRs can't be empty")
  return prefixes
}

function readPrefixes(value: unknown, what: string, problems: string[]): Prefix[] {
  return listOf(value).flatMap((text) => {
    const prefix = typeof text === 'string' ? parsePrefix(text) : undefined
    if (prefix === undefined) problems.push(`failed to parse ${what} CIDR ${asText(text)}`)
    return prefix ?? []
  })
}

function listOf(value: unknown): readonly unknown[] {
  if (value === undefined || value === null) return []
  return Array.isArray(value) ? value : [value]
}

/** A selector that cannot be read selects nothing, and the status says so. No one can know which pods it was meant for. */
function readSelections(value: unknown, problems: string[]): PodSelection[] {
  return listOf(value).flatMap((item, index) => {
    const { podSelector, namespaceSelector, nodeSelector } = (item ?? {}) as Loose
    const field = `selectors[${index}]`
    if (isAbsent(podSelector) && isAbsent(namespaceSelector)) {
      problems.push(`${field}: cannot have both nil namespace selector and nil pod selector`)
      return []
    }
    const given = Object.entries({ podSelector, namespaceSelector, nodeSelector }).filter(
      ([, selector]) => !isAbsent(selector),
    )
    const problem = given
      .map(([name, selector]) => describeProblem(selector, `${field}.${name}`))
      .find((each) => each !== undefined)
    if (problem !== undefined) {
      problems.push(problem)
      return []
    }
    const selectors = given.map(([name, selector]) => [name.replace('Selector', ''), selector])
    return [readPodSelection(Object.fromEntries(selectors) as Selectors)]
  })
}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === null
}

function describeProblem(selector: unknown, field: string): string | undefined {
  const problem = selectorProblem(selector)
  return problem && `${field}: ${problem}`
}

/** The test, or a description of the mistake. Keys may have their source in front. */
function readNodeSelector(selector: unknown, field: string): LabelTest | string {
  const problem = describeProblem(selector, field)
  if (problem !== undefined) return problem
  const { selects } = readPodSelection({ node: selector as LabelSelector })
  return (labels) => selects({ pod: {}, namespace: {}, node: labels })
}

function readExit(value: unknown, field: string, problems: string[], granted?: Grants): Exit[] {
  const { nodeSelector, interface: name, egressIP, maxGatewayNodes } = (value ?? {}) as Loose
  const selectsNode = isAbsent(nodeSelector)
    ? `${field} can't be empty`
    : readNodeSelector(nodeSelector, `${field}.nodeSelector`)
  const choice = readAddressChoice(name, egressIP, granted)
  const address = typeof choice === 'string' ? `${field}: ${choice}` : choice
  const failed = [selectsNode, address].filter((each) => typeof each === 'string')
  problems.push(...failed)
  if (typeof selectsNode === 'string' || typeof address === 'string') return []
  const isLimited = typeof maxGatewayNodes === 'number' && maxGatewayNodes > 0
  const likeness = address.by === 'pool' ? undefined : JSON.stringify([nodeSelector, address])
  const limit = isLimited ? maxGatewayNodes : undefined
  return [{ field, selectsNode, likeness, address, maxGatewayNodes: limit }]
}

/** The choice, or a description of the mistake. */
function readAddressChoice(
  name: unknown,
  egressIP: unknown,
  granted: Grants | undefined,
): AddressChoice | string {
  const [hasName, hasAddress] = [name, egressIP].map((value) => !isAbsent(value) && value !== '')
  if (hasName && hasAddress) return "gateway configuration can't specify both an interface and an egress IP"
  if (granted !== undefined)
    return hasAddress
      ? "egressGroups can't specify an egress IP together with egressCIDRs"
      : { by: 'pool', interface: hasName ? asText(name) : undefined, granted }
  if (hasName) return { by: 'interface', name: asText(name) }
  if (!hasAddress) return { by: 'defaultRoute' }
  const address = parseAddress(asText(egressIP))
  if (address === undefined) return `failed to parse egress IP ${asText(egressIP)}`
  const unusable = unusableKind(address)
  return unusable === undefined
    ? { by: 'address', address }
    : `the egress IP is ${address}, but no node can have ${unusable}`
}
