import type { LabelSelector } from '../../api/label-selector.ts'
import { overlaps, type Prefix, parsePrefix, prefixLength } from '../../net/prefix.ts'
import type { EgressRestriction, World, WorldPod } from '../world.ts'
import { type AllowedPorts, type NetworkPolicyPort, readPort } from './network-ports.ts'
import { type LabelTest, labelTest, selectorProblem } from './select.ts'

interface NetworkPolicySpec {
  readonly podSelector?: LabelSelector
  readonly policyTypes?: readonly string[]
  readonly egress?: readonly EgressRule[]
}

interface EgressRule {
  readonly to?: readonly Peer[]
  readonly ports?: readonly NetworkPolicyPort[]
}

interface Peer {
  readonly ipBlock?: { readonly cidr?: string; readonly except?: readonly string[] }
  readonly podSelector?: unknown
  readonly namespaceSelector?: unknown
}

/** What a NetworkPolicy lets the pods that it selects send outside the cluster. */
export interface Allowance {
  readonly cidr: Prefix
  readonly except: readonly Prefix[]
  readonly ports: AllowedPorts
}

const anywhere = ['0.0.0.0/0', '::/0'] as readonly string[] as readonly Prefix[]

/**
 * Undefined if the NetworkPolicy says nothing about egress. If it has no policyTypes, it says something if it has egress
 * rules, as with the API server's own default.
 *
 * What cannot be understood allows nothing, and is a problem. An API server refuses most of it.
 */
export function readEgressRestriction(
  { namespace = '', name }: { readonly namespace?: string; readonly name: string },
  { podSelector = {}, policyTypes = [], egress = [] }: NetworkPolicySpec,
): EgressRestriction | undefined {
  const isAboutEgress = policyTypes.length > 0 ? policyTypes.includes('Egress') : egress.length > 0
  if (!isAboutEgress) return undefined
  const unknown = selectorProblem(podSelector)
  if (unknown !== undefined)
    return {
      ...{ namespace, name, podSelector, allowsAll: false, allowances: [] },
      problems: [`spec.podSelector: ${unknown}, so it may select any pod of the namespace`],
    }
  const allowsAll = egress.some(({ to = [], ports = [] }) => to.length === 0 && ports.length === 0)
  const rules = egress.map(readRule)
  return {
    ...{ namespace, name, podSelector, allowsAll },
    allowances: rules.flatMap(({ allowances }) => allowances),
    problems: rules.flatMap(({ problems }) => problems),
  }
}

type Read = Pick<EgressRestriction, 'allowances' | 'problems'>

function readRule({ to = [], ports = [] }: EgressRule, index: number): Read {
  const place = `spec.egress[${index}]`
  const destinations = to.length === 0 ? { blocks: allBlocks, problems: [] } : readPeers(to, place)
  /* A rule about pods alone has named ports as a matter of course. */
  if (destinations.blocks.length === 0) return { allowances: [], problems: destinations.problems }
  const each = ports.map(readPort)
  const problems = each.flatMap((port, at) =>
    typeof port === 'string' ? [`${place}.ports[${at}]: ${port}`] : [],
  )
  const allowed = ports.length === 0 ? 'all' : each.filter((port) => typeof port !== 'string')
  return {
    allowances: destinations.blocks.map((block) => ({ ...block, ports: allowed })),
    problems: [...destinations.problems, ...problems],
  }
}

type Block = Omit<Allowance, 'ports'>

const allBlocks: readonly Block[] = anywhere.map((cidr) => ({ cidr, except: [] }))

/** Peers that select pods never match a destination outside the cluster. */
function readPeers(to: readonly Peer[], place: string) {
  const blocks: Block[] = []
  const problems: string[] = []
  for (const [index, { ipBlock, podSelector, namespaceSelector }] of to.entries()) {
    if (ipBlock === undefined) continue
    const read =
      podSelector === undefined && namespaceSelector === undefined
        ? readBlock(ipBlock)
        : 'the peer has an ipBlock and a selector'
    if (typeof read === 'string') problems.push(`${place}.to[${index}]: ${read}`)
    else if (read !== undefined) blocks.push(read)
  }
  return { blocks, problems }
}

/** Undefined if it excepts all of itself. */
function readBlock({ cidr = '', except = [] }: NonNullable<Peer['ipBlock']>): Block | string | undefined {
  const prefix = parsePrefix(cidr)
  if (prefix === undefined) return `ipBlock.cidr ${JSON.stringify(cidr)} is no prefix`
  const holes: Prefix[] = []
  for (const text of except) {
    const hole = parsePrefix(text)
    if (hole === undefined) return `ipBlock.except ${JSON.stringify(text)} is no prefix`
    if (overlaps(hole, prefix)) holes.push(hole)
  }
  const isEmpty = holes.some((hole) => prefixLength(hole) <= prefixLength(prefix))
  return isEmpty ? undefined : { cidr: prefix, except: holes }
}

type Restricts = (pod: WorldPod) => readonly EgressRestriction[]

/**
 * The NetworkPolicies that take something away from what a pod sends; in the order of their names. They add up, so one that
 * allows everything is enough to take nothing away.
 */
export function restrictionsOf({ settings, networkPolicies = [] }: World): Restricts {
  if (settings.networkPolicies === 'bypass') return () => []
  const byNamespace = Map.groupBy(networkPolicies.map(withTest), ({ restriction }) => restriction.namespace)
  return ({ namespace, labels }) => {
    const selecting = (byNamespace.get(namespace) ?? [])
      .filter(({ selects }) => selects(labels))
      .map(({ restriction }) => restriction)
    if (selecting.some(({ allowsAll }) => allowsAll)) return []
    return selecting.sort((a, b) => (a.name < b.name ? -1 : 1))
  }
}

export function nameOfRestriction({ namespace, name }: EgressRestriction): string {
  return `${namespace}/${name}`
}

/** A selector that cannot be understood may mean any pod of its namespace. */
function withTest(restriction: EgressRestriction): {
  readonly restriction: EgressRestriction
  readonly selects: LabelTest
} {
  const { podSelector } = restriction
  const selects = selectorProblem(podSelector) === undefined ? labelTest(podSelector) : () => true
  return { restriction, selects }
}
