import ipaddr from 'ipaddr.js'
import type { LabelSelector } from '../../src/api/label-selector.ts'
import type { Labels, World, WorldNode, WorldPod } from '../../src/decide/world.ts'

/*
 * The oracle of the property tests: what the design says about one pod and one destination, written down sentence by
 * sentence, for policies that are valid. It shares no code with what it judges, and takes its time.
 */

interface NaivePolicy {
  readonly object: World['ciliumPolicies'][number] | World['isovalentPolicies'][number]
  /** For destinations of a family. */
  readonly gateways: (world: World, pod: WorldPod, isIpv6: boolean) => NaiveGateways
}

interface NaiveGateways {
  readonly inUse: readonly NaiveGateway[]
  /** They serve where nobody in use has an address. */
  readonly otherwise: readonly NaiveGateway[]
}

interface NaiveGateway {
  readonly node: WorldNode
  readonly exit: { readonly interface?: string | undefined; readonly egressIP?: string | undefined }
  /** Of a policy with a pool: what the node was given. */
  readonly given?: readonly string[] | undefined
}

/** `masquerade`, a drop's reason, or the egress IPs that a new flow may have. */
export function naiveOutcome(world: World, pod: WorldPod, destination: string): string {
  const claims = naivePolicies(world)
    .filter(({ object }) => object.spec.selectors.some((item) => selects(world, item, pod)))
    .flatMap((policy) => {
      const { destinationCIDRs, excludedCIDRs = [] } = policy.object.spec
      const inside = excludedCIDRs.filter((excluded) =>
        destinationCIDRs.some((each) => isInside(excluded, each)),
      )
      return [
        ...destinationCIDRs.map((cidr) => ({ cidr, policy, isExcluded: false })),
        ...inside.map((cidr) => ({ cidr, policy, isExcluded: true })),
      ]
    })
    .filter(({ cidr }) => holds(cidr, destination))
  const best = claims.sort(
    (a, b) =>
      lengthOf(b.cidr) - lengthOf(a.cidr) ||
      compareText(bornOf(a.policy), bornOf(b.policy)) ||
      compareText(a.policy.object.metadata.name, b.policy.object.metadata.name) ||
      Number(b.isExcluded) - Number(a.isExcluded),
  )[0]
  if (best === undefined || best.isExcluded) return 'masquerade'
  const isIpv6 = best.cidr.includes(':')
  const { inUse, otherwise } = best.policy.gateways(world, pod, isIpv6)
  if (inUse.length === 0) return 'DROP_NO_GATEWAY'
  const addresses = (gateways: readonly NaiveGateway[]): string[] =>
    gateways.map((gateway) => egressIpOf(world, gateway, isIpv6)).filter((ip) => ip !== undefined)
  const found = addresses(inUse).length > 0 ? addresses(inUse) : addresses(otherwise)
  return found.length === 0 ? 'DROP_NO_EGRESS_IP' : [...new Set(found)].sort().join(' ')
}

function naivePolicies(world: World): readonly NaivePolicy[] {
  return [
    ...world.ciliumPolicies.map((object) => ({ object, gateways: oneGateway(object.spec) })),
    ...world.isovalentPolicies.map((object) => ({ object, gateways: manyGateways(object) })),
  ]
}

function oneGateway(spec: World['ciliumPolicies'][number]['spec']): NaivePolicy['gateways'] {
  return (world, pod, isIpv6) => {
    const entries = spec.egressGateways?.length ? spec.egressGateways : [spec.egressGateway]
    const matches = entries
      .map((exit) => candidates(world, exit.nodeSelector).map((node) => ({ node, exit })))
      .filter((all) => all.length > 0)
    if (matches.length === 0) return { inUse: [], otherwise: [] }
    const number = ([first]: readonly NaiveGateway[]): number[] =>
      ipaddr.parse(first!.node.internalIPs[0]!).toByteArray()
    matches.sort((a, b) => compareNumbers(number(a), number(b)))
    const ofPod = matches[fnv(pod.uid) % matches.length]!
    const hasReported = reportOf(world, ofPod[0]!) !== undefined
    const able = ofPod.find((gateway) => egressIpOf(world, gateway, isIpv6) !== undefined)
    return { inUse: [(hasReported ? able : undefined) ?? ofPod[0]!], otherwise: [] }
  }
}

function manyGateways({ spec, status }: World['isovalentPolicies'][number]): NaivePolicy['gateways'] {
  return (world, pod) => {
    const podZone = zoneOf(world.nodes.find(({ name }) => name === pod.nodeName)!)
    const groups = spec.egressGroups.map((exit, index) => {
      const all = candidates(world, exit.nodeSelector)
      const grants = status?.groupStatuses?.[index]
      const gatewayOf = (node: WorldNode): NaiveGateway => {
        const ip = node.internalIPs[0]!
        const given = [grants?.egressIPByGatewayIP?.[ip], grants?.egressIPv6ByGatewayIP?.[ip]]
        return spec.egressCIDRs
          ? { node, exit, given: given.filter((each) => each !== undefined) }
          : { node, exit }
      }
      const isUsable = (node: WorldNode) =>
        isOpen(world, node) &&
        (spec.egressCIDRs || [false, true].some((isIpv6) => egressIpOf(world, gatewayOf(node), isIpv6)))
      const isLocal = (node: WorldNode) => podZone !== undefined && zoneOf(node) === podZone
      const [local, others] = [all.filter(isLocal), all.filter((node) => !isLocal(node))]
      const mode = spec.azAffinity ?? 'disabled'
      const living = (nodes: readonly WorldNode[]) => (nodes.some(isUsable) ? nodes.filter(isUsable) : nodes)
      const livingLocal = living(all).filter(isLocal)
      const eligible =
        mode === 'disabled' ? living(all)
        : mode === 'localPriority' ? living([...local, ...others])
        : mode === 'localOnly' ? living(local)
        : livingLocal.length > 0 ? livingLocal
        : living(others) // biome-ignore format: one mode a line
      const inUse = eligible.slice(0, exit.maxGatewayNodes || eligible.length)
      const waiting = (mode === 'localOnly' ? local : all).filter((node) => !inUse.includes(node))
      return { inUse: inUse.map(gatewayOf), otherwise: waiting.map(gatewayOf) }
    })
    return {
      inUse: groups.flatMap(({ inUse }) => inUse),
      otherwise: groups.flatMap(({ otherwise }) => otherwise),
    }
  }
}

function isOpen(world: World, { name, isReady, isCordoned }: WorldNode): boolean {
  const statusOf = (node: string) => world.egressNodes.find(({ metadata }) => metadata.name === node)?.status
  if (isCordoned || world.unreachableNodes?.has(name)) return false
  if (world.reachableNodes?.has(name)) return true
  if (isReady === false || statusOf(name)?.interfaces === undefined) return false
  const others = world.nodes.filter((node) => node.name !== name && node.isReady !== false)
  const forIt = others.filter((node) => statusOf(node.name)?.heard?.includes(name))
  const against = others.filter((node) => statusOf(node.name)?.unreachable?.includes(name))
  return forIt.length >= against.length
}

function candidates(world: World, selector: LabelSelector): readonly WorldNode[] {
  return world.nodes
    .filter((node) => node.internalIPs.length > 0 && agrees(selector, node.labels))
    .sort((a, b) => compareText(a.name, b.name))
}

function reportOf({ egressNodes }: World, { node }: Pick<NaiveGateway, 'node'>) {
  return egressNodes.find(({ metadata }) => metadata.name === node.name)?.status?.interfaces
}

function egressIpOf(world: World, { node, exit, given }: NaiveGateway, isIpv6: boolean): string | undefined {
  if (given !== undefined) return given.find((address) => address.includes(':') === isIpv6)
  if (exit.egressIP) return exit.egressIP.includes(':') === isIpv6 ? exit.egressIP : undefined
  const interfaces = reportOf(world, { node }) ?? []
  const device = exit.interface
    ? interfaces.find(({ name }) => name === exit.interface)
    : interfaces.find(({ isDefaultRoute }) => isDefaultRoute)
  return device?.addresses.find((text) => text.includes(':') === isIpv6 && !text.startsWith('fe80:'))
}

function selects(
  world: World,
  item: World['ciliumPolicies'][number]['spec']['selectors'][number],
  pod: WorldPod,
): boolean {
  const namespace = world.namespaces.find(({ name }) => name === pod.namespace)
  const node = world.nodes.find(({ name }) => name === pod.nodeName)
  return (
    agrees(item.podSelector ?? {}, pod.labels) &&
    agrees(item.namespaceSelector ?? {}, namespace?.labels ?? {}) &&
    agrees(item.nodeSelector ?? {}, node?.labels ?? {})
  )
}

function agrees({ matchLabels = {}, matchExpressions = [] }: LabelSelector, labels: Labels): boolean {
  for (const key of Object.keys(matchLabels)) if (labels[key] !== matchLabels[key]) return false
  for (const { key, operator, values = [] } of matchExpressions) {
    const [has, isAmong] = [key in labels, values.includes(labels[key] ?? '')]
    if (operator === 'In' && !(has && isAmong)) return false
    if (operator === 'NotIn' && has && isAmong) return false
    if (operator === 'Exists' && !has) return false
    if (operator === 'DoesNotExist' && has) return false
  }
  return true
}

function zoneOf(node: WorldNode): string | undefined {
  return node.labels['topology.kubernetes.io/zone']
}

function bornOf({ object }: NaivePolicy): string {
  return object.metadata.creationTimestamp ?? ''
}

function lengthOf(cidr: string): number {
  return Number(cidr.split('/')[1])
}

function holds(cidr: string, destination: string): boolean {
  const [base, address] = [ipaddr.parseCIDR(cidr), ipaddr.parse(destination)]
  return base[0].kind() === address.kind() && address.match(base as never)
}

function isInside(inner: string, outer: string): boolean {
  return lengthOf(inner) >= lengthOf(outer) && holds(outer, inner.split('/')[0]!)
}

function fnv(text: string): number {
  let hash = 2166136261n
  for (const byte of Buffer.from(text)) hash = ((hash ^ BigInt(byte)) * 16777619n) % 2n ** 32n
  return Number(hash)
}

function compareText(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1
}

function compareNumbers(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, index) => value !== b[index])
  return at < 0 ? 0 : a[at]! - b[at]!
}
