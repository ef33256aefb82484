import { type Prefix, parsePrefix } from '../net/prefix.ts'
import { listLegacyTables } from './legacy-tables.ts'
import { chainAttribute, dumpNftables, ifSupported, nftablesKind, textAt } from './netfilter.ts'
import { Netlink } from './netlink.ts'
import { decodeAttributes, eachAttribute, textOf } from './netlink-message.ts'
import { fromKernelBytes } from './network-address.ts'
import { isOwnRule } from './port-rules.ts'

/** A chain of nftables at a hook that packets of other hosts go through when the stack forwards them. */
interface ForwardingChain {
  readonly table: string
  readonly name: string
  readonly hook: 'forward' | 'postrouting' | 'egress'
  /** What becomes of packets that no rule decides about. */
  readonly drops: boolean
  /** Without those that only jump to chains of kube-proxy or of a CNI plugin. */
  readonly rules: number
}

/** What a node's stack does to packets that it forwards, as far as the kernel tells. */
interface StackRules {
  readonly chains: readonly ForwardingChain[]
  /** Tables of iptables-legacy that have rules, such as `filter` and `filter (IPv6)`. */
  readonly legacyTables: readonly string[]
  /** Destinations of outbound IPsec policies. */
  readonly ipsec: readonly Prefix[]
  /** Routing rules that match something that the kernel's lookup for a program does not know: a mark, a port, a type of service. */
  readonly routingRules: number
  /** The source prefixes of routing rules. */
  readonly routingSources: readonly Prefix[]
}

export function listStackRules(): StackRules {
  const routingRules = ifSupported([], listRoutingRules)
  return {
    chains: ifSupported([], listForwardingChains),
    legacyTables: listLegacyTables(),
    ipsec: ifSupported([], listIpsecDestinations),
    routingRules: routingRules.filter(({ needsStack }) => needsStack).length,
    routingSources: routingRules.flatMap(({ source }) => source ?? []),
  }
}

/* ---- nftables: linux/netfilter/nf_tables.h ---- */

const ruleAttribute = { table: 1, chain: 2, expressions: 4 } as const
const netdevFamily = 5
const bridgeFamily = 7
const drop = 0

/** Made by components of Kubernetes for their own traffic. */
const ofKubernetes = /^(KUBE-|kube-proxy|cali-|CNI-|FLANNEL-|WEAVE|kindnet|sallyport$)/i

function listForwardingChains(): ForwardingChain[] {
  const rules = dumpNftables('list rules of nftables', nftablesKind.rule).map(decodeRule)
  return dumpNftables('list chains of nftables', nftablesKind.chain).flatMap((object) => {
    const chain = decodeChain(object)
    if (chain === undefined || ofKubernetes.test(chain.table)) return []
    const own = rules.filter(
      ({ family, table, chain: of, isOfKubernetes }) =>
        !isOfKubernetes && family === chain.family && table === chain.table && of === chain.name,
    )
    const { table, name, hook, drops } = chain
    return own.length > 0 || drops ? [{ table, name, hook, drops, rules: own.length }] : []
  })
}

type NftablesObject = ReturnType<typeof dumpNftables>[number]

function decodeChain({ family, attributes }: NftablesObject) {
  const hookBytes = attributes.get(chainAttribute.hook)
  const number = hookBytes && decodeAttributes(hookBytes).get(1)?.readUInt32BE(0)
  const hook = family === bridgeFamily ? undefined : hookOf(family, number)
  if (hook === undefined) return undefined
  return {
    family,
    hook,
    table: textAt(attributes, chainAttribute.table),
    name: textAt(attributes, chainAttribute.name),
    drops: attributes.get(chainAttribute.policy)?.readUInt32BE(0) === drop,
  }
}

function hookOf(family: number, number: number | undefined): ForwardingChain['hook'] | undefined {
  if (family === netdevFamily) return number === 1 ? 'egress' : undefined
  return number === 2 ? 'forward' : number === 4 ? 'postrouting' : undefined
}

function decodeRule({ family, attributes }: NftablesObject) {
  return {
    family,
    table: textAt(attributes, ruleAttribute.table),
    chain: textAt(attributes, ruleAttribute.chain),
    isOfKubernetes: jumps(attributes.get(ruleAttribute.expressions)).some((name) => ofKubernetes.test(name)),
  }
}

/** The chains that the expressions of a rule name: expression, its data, the value, a verdict, its chain. */
function jumps(expressions: Buffer | undefined): string[] {
  if (expressions === undefined) return []
  return [...eachAttribute(expressions)].flatMap(([, expression]) => {
    const parts = decodeAttributes(expression)
    const name = parts.get(1)
    if (name === undefined || textOf(name) !== 'immediate') return []
    const verdict = inside(inside(parts.get(2), 2), 2)
    const chain = verdict && decodeAttributes(verdict).get(2)
    return chain === undefined ? [] : [textOf(chain)]
  })
}

function inside(nested: Buffer | undefined, type: number): Buffer | undefined {
  return nested && decodeAttributes(nested).get(type)
}

/* ---- IPsec: linux/xfrm.h ---- */

const xfrm = { protocol: 6, getPolicy: 0x15, outbound: 1 } as const
/** In struct xfrm_userpolicy_info: the selector first, two lifetimes after it. */
const policyAt = { destination: 0, family: 40, destinationLength: 42, direction: 160 } as const

function listIpsecDestinations(): Prefix[] {
  using netlink = new Netlink(undefined, xfrm.protocol)
  const policies = netlink.dump('list IPsec policies', xfrm.getPolicy)
  return policies.flatMap(({ payload }) => {
    if (payload.readUInt8(policyAt.direction) !== xfrm.outbound) return []
    const bytes = payload.subarray(policyAt.destination, payload.readUInt16LE(policyAt.family) === 2 ? 4 : 16)
    const length = payload.readUInt8(policyAt.destinationLength)
    return parsePrefix(`${fromKernelBytes(bytes)}/${length}`) ?? []
  })
}

/* ---- routing rules: linux/fib_rules.h ---- */

const getRule = 34
const tables = { local: 255, main: 254, default: 253 } as const
const priorities = new Map<number, number>([
  [0, tables.local],
  [32766, tables.main],
  [32767, tables.default],
])
/** In struct fib_rule_hdr: the length of the source prefix, the type of service, the table; and where its attributes begin. */
const ruleAt = { sourceLength: 2, typeOfService: 3, table: 4, attributes: 12 } as const
/** FRA_SRC, FRA_PRIORITY, FRA_FWMARK, FRA_SPORT_RANGE, FRA_DPORT_RANGE */
const routingAttribute = { source: 2, priority: 6, mark: 10, sourcePorts: 23, destinationPorts: 24 } as const
const { mark, sourcePorts, destinationPorts } = routingAttribute

function listRoutingRules(): { readonly source: Prefix | undefined; readonly needsStack: boolean }[] {
  using netlink = new Netlink()
  return [2, 10]
    .flatMap((family) =>
      netlink.dump('list routing rules', getRule, Buffer.from([family, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
    )
    .flatMap(({ payload }) => {
      const attributes = decodeAttributes(payload.subarray(ruleAt.attributes))
      const priority = attributes.get(routingAttribute.priority)?.readUInt32LE(0) ?? 0
      if (isOwnRule(attributes)) return []
      if (priorities.get(priority) === payload.readUInt8(ruleAt.table)) return []
      const source = attributes.get(routingAttribute.source)
      const length = payload.readUInt8(ruleAt.sourceLength)
      const needsStack =
        payload.readUInt8(ruleAt.typeOfService) > 0 ||
        [mark, sourcePorts, destinationPorts].some((each) => attributes.has(each))
      return [{ source: source && parsePrefix(`${fromKernelBytes(source)}/${length}`), needsStack }]
    })
}
