import type { NodeInterface } from '../../../api/egress-node.ts'
import { sharingNeeds } from '../../gateways/dedicated-addresses.ts'
import { type Gateway, hasEgressIp, isCalled } from '../../gateways/gateways.ts'
import type { Outage } from '../../gateways/outages.ts'
import type { AddressChoice } from '../../policies/policies.ts'
import type { Served } from '../../pools/pool-decisions.ts'

/** Why a gateway cannot serve, and what to do, in sentences. */
interface Loss {
  readonly fact: string
  readonly remedy: string
}

const outageTexts: Readonly<
  Record<Outage['problem'], readonly [fact: string, remedy: (name: string) => string]>
> = {
  Down: ['is down', (name) => `Bring it up: ip link set dev ${name} up.`],
  NoCarrier: ['has no carrier', () => 'Check its cable, or the other end of it.'],
  NoEthernetHeader: ['has no Ethernet header, which Sallyport needs', () => 'Use another interface.'],
}

export function explainOutage(node: string, { interface: name, problem }: Outage): Loss {
  const [fact, remedy] = outageTexts[problem]
  return { fact: `Interface ${name} of node ${node} ${fact}.`, remedy: remedy(name) }
}

/** Of each gateway whose interface has an IPv6 address that no packet could leave with. */
export function unroutedIpv6(gateways: readonly Gateway[]): readonly Loss[] {
  return gateways.flatMap(({ node, unroutedIpv6: name }) =>
    name === undefined
      ? []
      : {
          fact: `The IPv6 default route of interface ${name} of node ${node.name} has a higher metric than another one, so the kernel does not find it.`,
          remedy: 'Give both the same metric.',
        },
  )
}

interface Reports {
  readonly isChained: boolean
  /** By node, as the agents reported them. */
  readonly reported: ReadonlyMap<string, readonly NodeInterface[]>
}

/** Why a gateway has no egress IP of its own. */
export function explainNoAddress(
  gateway: Gateway,
  choice: AddressChoice,
  field: string,
  { isChained, reported }: Reports,
): Loss {
  const { node, outage } = gateway
  const { name } = node
  if (outage !== undefined) return explainOutage(name, outage)
  const [unrouted] = unroutedIpv6([gateway])
  if (unrouted !== undefined) return unrouted
  const interfaces = reported.get(name)
  if (interfaces === undefined)
    return {
      fact: `Node ${name} has not reported its interfaces yet.`,
      remedy: 'Check that its agent runs.',
    }
  const device = interfaces.find((each) =>
    choice.by === 'interface' ? isCalled(each, choice.name) : each.isDefaultRoute,
  )
  if (device !== undefined && isChained && device.addresses.length > 0)
    return {
      fact: `Interface ${device.name} of node ${name} has only the node's own address ${device.addresses.join(' and ')}, which the other CNI plugin uses in chained mode.`,
      remedy: `Either add another address to the interface. Or let the node share its own address, which needs ${sharingNeeds}.`,
    }
  if (choice.by !== 'interface')
    return {
      fact: `Node ${name} has no address on an interface with a default route.`,
      remedy: `Add a default route, or set ${field}.interface.`,
    }
  return device === undefined
    ? {
        fact: `Node ${name} has no interface ${choice.name}.`,
        remedy: `Create the interface, or change ${field}.interface.`,
      }
    : {
        fact: `Interface ${device.name} of node ${name} has no address.`,
        remedy: `Add an address, or change ${field}.interface.`,
      }
}

export const inFull = ({ fact, remedy }: Loss): string => `${fact} ${remedy}`

/** By node name: why a gateway of the policy cannot serve with its own egress IP now. */
export function gatewayLosses({ policy, exits }: Served, reports: Reports): ReadonlyMap<string, string> {
  return new Map(
    policy.exits.flatMap(({ address, field }, which) =>
      (exits[which] ?? []).flatMap((gateway): readonly (readonly [string, string])[] => {
        const { node, outage } = gateway
        if (outage !== undefined) return [[node.name, explainOutage(node.name, outage).fact]]
        if (hasEgressIp(gateway) || address.by === 'pool') return []
        return [[node.name, explainNoAddress(gateway, address, field, reports).fact]]
      }),
    ),
  )
}
