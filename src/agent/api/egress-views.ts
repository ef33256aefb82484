import type { Datapath } from '../../datapath/datapath.ts'
import type { Group, Rule, Tables } from '../../decide/tables.ts'
import type { Address } from '../../net/address.ts'
import type { Attachment } from '../pods/attachments.ts'
import { describeVerdict } from './drop-reasons.ts'
import type { EgressView } from './local-api.ts'

/**
 * What is really in the tables for each pod of this node, with the flows that use it now. `unreachable`: gateways whose probes are
 * not answered, by name.
 */
export function describeEgress(
  tables: Tables,
  attachments: readonly Attachment[],
  datapath: Datapath,
  unreachable: ReadonlySet<string>,
): EgressView[] {
  const flows = countFlows(datapath)
  const ordersByIp = namedOrders(tables)
  return attachments.flatMap(({ pod, addresses }) => {
    const set = addresses.map((address) => tables.podsByIp.get(address)).find((found) => found !== undefined)
    return [...(tables.rules.get(set?.policySet ?? 0n) ?? [])].map(([destination, rule]) => {
      const group = rule.action === 'egress' ? tables.groups.get(rule.group) : undefined
      const chosen = chosenForNewFlows(group, (address) => ordersByIp(address), unreachable)
      return {
        pod: { namespace: pod.namespace, name: pod.name, ips: addresses },
        destination,
        policy: tables.policies.get(rule.policy) ?? { kind: '', name: '' },
        action: rule.action,
        ...reasonOf(rule),
        egressIps: (group === undefined ? [] : [...group.preferred, ...group.standby]).map((address) => {
          const order = ordersByIp(address)
          const pool = tables.pools.find((each) => each.address === address && each.purpose === 'egress')
          return {
            address,
            holder: order.find((name) => !unreachable.has(name)) ?? order[0],
            order,
            unreachable: order.filter((name) => unreachable.has(name)),
            takesNewFlows: chosen.has(address),
            portsOwned: (pool?.blocks.length ?? 0) * 16,
            flows: addresses.reduce((sum, source) => sum + (flows.get(`${source} ${address}`) ?? 0), 0),
          }
        }),
      }
    })
  })
}

function reasonOf(rule: Rule): { readonly reason?: string } {
  return rule.action === 'drop' ? { reason: describeVerdict(rule.reason) } : {}
}

/** The owner of an egress IP, then its successors, by name. */
function namedOrders(tables: Tables): (address: Address) => readonly string[] {
  const nameByTunnel = new Map([...tables.nodes].map(([address, { name }]) => [address, name]))
  return (address) =>
    (tables.egressIps.get(address)?.order ?? []).map((each) => nameByTunnel.get(each) ?? each)
}

/**
 * The egress IPs that a new flow is given one of, as `choose_egress_ip` in bpf/holder.h chooses: the first of four passes that finds any.
 * An owner that was away too often lately counts as unreachable there, and as reachable here.
 */
export function chosenForNewFlows(
  group: Group | undefined,
  orderOf: (address: Address) => readonly string[],
  unreachable: ReadonlySet<string>,
): ReadonlySet<Address> {
  if (group === undefined) return new Set()
  const { preferred, standby, keepsAddress } = group
  const byOwner = (address: Address): boolean => {
    const [owner] = orderOf(address)
    return owner !== undefined && !unreachable.has(owner)
  }
  const byAnybody = (address: Address): boolean => orderOf(address).some((name) => !unreachable.has(name))
  const passes = keepsAddress
    ? [
        preferred.filter(byOwner),
        preferred.filter(byAnybody),
        standby.filter(byOwner),
        standby.filter(byAnybody),
      ]
    : [
        preferred.filter(byOwner),
        standby.filter(byOwner),
        preferred.filter(byAnybody),
        standby.filter(byAnybody),
      ]
  return new Set(passes.find((found) => found.length > 0) ?? [])
}

/** Mappings by pod address and egress IP. Walks the whole table. */
function countFlows(datapath: Datapath): ReadonlyMap<string, number> {
  const counts = new Map<string, number>()
  for (const [flow, mapping] of datapath.tables.mappings.entries()) {
    const key = `${flow.source} ${mapping.egress_ip}`
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return counts
}
