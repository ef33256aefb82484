import type { Prefix } from '../../net/prefix.ts'
import { contentId } from '../ids.ts'
import type { NetworkRule, Tables } from '../tables.ts'
import type { EgressRestriction } from '../world.ts'
import { nameOfRestriction } from './network-policies.ts'
import { type AllowedPorts, keyOfPorts, type ProtocolPorts } from './network-ports.ts'
import { allowedByPrefix } from './network-rules.ts'

/** Port ranges that the datapath compares with a new flow: MAX_PORT_RANGES of bpf/types.h. */
export const maxPortRanges = 32
/** Half of MAX_NETWORK_RULES and MAX_PORT_LISTS: while a change is written, the old entries are there beside the new ones. */
export const maxNetworkRules = 65536
export const maxPortLists = 4096

const tableLimits = { rules: maxNetworkRules, portLists: maxPortLists }

type NetworkRules = ReadonlyMap<Prefix, NetworkRule>

interface NetworkSet {
  /** 0n: nothing is restricted. */
  readonly id: bigint
  /** Why some of what the NetworkPolicies may allow is not allowed, and what to do. Sentences without the last full stop. */
  readonly problems: readonly string[]
}

const unrestricted: NetworkSet = { id: 0n, problems: [] }
const tooManyRules =
  'the NetworkPolicies of this node together have too many prefixes or lists of ports. Use fewer or larger prefixes, or move pods to other nodes'

/**
 * The rules of NetworkPolicies for the pods of a node. Pods that the same NetworkPolicies restrict share a set, and its id
 * follows from its rules. So a changed NetworkPolicy makes a new set beside the old one, and no pod sees half of an edit.
 *
 * What has no room in the kernel's tables is not allowed.
 */
export class NetworkSets {
  readonly #rules = new Map<bigint, NetworkRules>()
  readonly #portLists = new Map<bigint, readonly ProtocolPorts[]>()
  readonly #byNames = new Map<string, NetworkSet>()
  readonly #limits: typeof tableLimits
  #count = 0

  constructor(limits = tableLimits) {
    this.#limits = limits
  }

  get tables(): Pick<Tables, 'networkRules' | 'portLists'> {
    return { networkRules: this.#rules, portLists: this.#portLists }
  }

  setOf(restrictions: readonly EgressRestriction[]): NetworkSet {
    if (restrictions.length === 0) return unrestricted
    const names = restrictions.map(nameOfRestriction).join(' ')
    const set = this.#byNames.get(names) ?? this.#enter(restrictions)
    this.#byNames.set(names, set)
    return set
  }

  #enter(restrictions: readonly EgressRestriction[]): NetworkSet {
    const allowed = allowedByPrefix(restrictions.flatMap(({ allowances }) => allowances))
    const crowded = [...allowed].filter(([, ports]) => isTooLong(ports))
    const problems = [
      ...restrictions.flatMap((each) =>
        each.problems.map((problem) => `${nameOfRestriction(each)}: ${problem}. Correct the NetworkPolicy`),
      ),
      ...crowded.map(
        ([prefix]) =>
          `NetworkPolicies allow more than ${maxPortRanges} ranges of ports for ${prefix}, so Sallyport allows none of them. Use fewer ranges`,
      ),
    ]
    const fitting = new Map(
      [...allowed].map(([prefix, ports]) => [prefix, isTooLong(ports) ? [] : ports] as const),
    )
    if (this.#hasRoomFor(fitting)) return { id: this.#put(fitting), problems }
    return { id: this.#put(allowedByPrefix([])), problems: [...problems, tooManyRules] }
  }

  /** The sets of pods that may send nothing have two rules each, and are always written: at most one of them is new. */
  #hasRoomFor(allowed: ReadonlyMap<Prefix, AllowedPorts>): boolean {
    const lists = new Set([...allowed.values()].filter(isList).map((ports) => portListId(ports)))
    const newLists = [...lists].filter((id) => !this.#portLists.has(id))
    return (
      this.#count + allowed.size <= this.#limits.rules - 2 &&
      this.#portLists.size + newLists.length <= this.#limits.portLists
    )
  }

  #put(allowed: ReadonlyMap<Prefix, AllowedPorts>): bigint {
    const rules = new Map([...allowed].map(([prefix, ports]) => [prefix, this.#ruleOf(ports)] as const))
    const described = [...allowed].map(([prefix, ports]) => `${prefix} ${keyOfPorts(ports)}`)
    const id = contentId('networkSet', ...described)
    if (!this.#rules.has(id)) this.#count += rules.size
    this.#rules.set(id, rules)
    return id
  }

  #ruleOf(ports: AllowedPorts): NetworkRule {
    if (ports === 'all') return { action: 'allow' }
    if (ports.length === 0) return { action: 'deny' }
    const portList = portListId(ports)
    this.#portLists.set(portList, ports)
    return { action: 'allowPorts', portList }
  }
}

function isTooLong(ports: AllowedPorts): boolean {
  return ports !== 'all' && ports.length > maxPortRanges
}

function isList(ports: AllowedPorts): ports is readonly ProtocolPorts[] {
  return ports !== 'all' && ports.length > 0
}

function portListId(ports: readonly ProtocolPorts[]): bigint {
  return contentId('portList', keyOfPorts(ports))
}
