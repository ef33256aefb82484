import type { CiliumEgressGatewayPolicy } from '../../src/api/cilium-egress-gateway-policy.ts'
import type { EgressNode, NodeInterface } from '../../src/api/egress-node.ts'
import type {
  GroupStatus,
  IsovalentEgressGatewayPolicy,
} from '../../src/api/isovalent-egress-gateway-policy.ts'
import type { Labels, World, WorldNode, WorldPod } from '../../src/decide/world.ts'
import { type Address, parseAddress } from '../../src/net/address.ts'
import { type Prefix, parsePrefix } from '../../src/net/prefix.ts'

/* Worlds for tests: a part is given where the test is about it, the rest is as in a small cluster that works. */

export function address(text: string): Address {
  return parseAddress(text) ?? fail(`${text} is no address`)
}

export function prefix(text: string): Prefix {
  return parsePrefix(text) ?? fail(`${text} is no prefix`)
}

/** As by default. */
export const allPorts = {
  range: { first: 1024, last: 65535 },
  excluded: [{ first: 30000, last: 32767 }],
}

function fail(message: string): never {
  throw new TypeError(message)
}

interface NodeParts {
  readonly labels?: Labels
  readonly ips?: readonly string[]
  readonly podCIDRs?: readonly string[]
  readonly isReady?: boolean
  readonly isCordoned?: boolean
}

export function node(name: string, { labels = {}, ips = [], podCIDRs = [], ...rest }: NodeParts): WorldNode {
  return {
    name,
    labels: { 'kubernetes.io/hostname': name, ...labels },
    internalIPs: ips.map(address),
    podCIDRs: podCIDRs.map(prefix),
    ...rest,
  }
}

/** A device with its addresses, the way an agent reports it. */
export function device(
  name: string,
  addresses: readonly string[],
  more: Partial<NodeInterface> = {},
): NodeInterface {
  return { name, addresses: [...addresses], isDefaultRoute: false, ...more }
}

export function egressNode(
  name: string,
  slot: number | undefined,
  interfaces: readonly NodeInterface[],
): EgressNode {
  return {
    metadata: { name, creationTimestamp: '2026-01-01T00:00:00Z' },
    ...(slot === undefined ? {} : { spec: { slot } }),
    status: { interfaces: [...interfaces] },
  }
}

export function pod(
  name: string,
  more: Partial<Omit<WorldPod, 'ips'>> & { readonly ips?: readonly string[] } = {},
): WorldPod {
  const { ips = ['10.244.1.7'], ...rest } = more
  return {
    name,
    uid: `uid-of-${name}`,
    namespace: 'default',
    labels: {},
    nodeName: 'worker',
    hostNetwork: false,
    ...rest,
    ips: ips.map(address),
  }
}

type CiliumSpec = CiliumEgressGatewayPolicy['spec']
type IsovalentSpec = IsovalentEgressGatewayPolicy['spec']

interface PolicyParts {
  /** Orders policies by age: a larger one is younger. */
  readonly born?: number
}

interface GroupPolicyParts extends PolicyParts {
  /** What the operator has written before. */
  readonly groupStatuses?: readonly GroupStatus[]
}

function metadata(name: string, born: number): CiliumEgressGatewayPolicy['metadata'] {
  const creationTimestamp = new Date(Date.UTC(2026, 0, 1, 0, 0, born)).toISOString().replace('.000', '')
  return { name, uid: `uid-of-${name}`, generation: 1, creationTimestamp }
}

/** By itself as in the seed: alliance pods to the cluster's network, by the nodes with the label, from net0. */
export function ciliumPolicy(
  name: string,
  { born = 0, ...spec }: PolicyParts & Partial<CiliumSpec> = {},
): CiliumEgressGatewayPolicy {
  return {
    metadata: metadata(name, born),
    spec: {
      selectors: [{ podSelector: { matchLabels: { org: 'alliance' } } }],
      destinationCIDRs: ['172.18.0.0/16'],
      egressGateway: { nodeSelector: { matchLabels: { 'egress-gw': 'true' } }, interface: 'net0' },
      ...spec,
    },
  }
}

export function isovalentPolicy(
  name: string,
  { born = 0, groupStatuses, ...spec }: GroupPolicyParts & Partial<IsovalentSpec> = {},
): IsovalentEgressGatewayPolicy {
  return {
    ...(groupStatuses === undefined ? {} : { status: { groupStatuses: [...groupStatuses] } }),
    metadata: metadata(name, born),
    spec: {
      selectors: [{ podSelector: { matchLabels: { org: 'alliance' } } }],
      destinationCIDRs: ['172.18.0.0/16'],
      egressGroups: [{ nodeSelector: { matchLabels: { 'egress-gw': 'true' } }, interface: 'net0' }],
      ...spec,
    },
  }
}

const gatewayLabels = { 'egress-gw': 'true' }

/** Four nodes in two zones, two of them gateways with an address more, both families; one alliance pod on `worker`. */
export function world(parts: Partial<World> = {}): World {
  return {
    self: 'worker',
    nodes: [
      node('worker', { ips: ['172.18.0.2', 'fc00::2'], podCIDRs: ['10.244.1.0/24'], labels: zone('east') }),
      node('worker2', { ips: ['172.18.0.5', 'fc00::5'], podCIDRs: ['10.244.2.0/24'], labels: zone('west') }),
      node('worker3', {
        ips: ['172.18.0.4', 'fc00::4'],
        podCIDRs: ['10.244.3.0/24'],
        labels: { ...gatewayLabels, ...zone('east') },
      }),
      node('worker4', {
        ips: ['172.18.0.3', 'fc00::3'],
        podCIDRs: ['10.244.4.0/24'],
        labels: { ...gatewayLabels, ...zone('west') },
      }),
    ],
    namespaces: [{ name: 'default', labels: { 'kubernetes.io/metadata.name': 'default' } }],
    pods: [pod('xwing', { labels: { org: 'alliance' } })],
    ciliumPolicies: [],
    isovalentPolicies: [],
    egressNodes: [
      egressNode('worker', 0, [device('eth0', ['172.18.0.2', 'fc00::2'], { isDefaultRoute: true })]),
      egressNode('worker2', 1, [device('eth0', ['172.18.0.5', 'fc00::5'], { isDefaultRoute: true })]),
      egressNode('worker3', 2, [
        device('eth0', ['172.18.0.4', 'fc00::4'], { isDefaultRoute: true }),
        device('net0', ['172.18.0.42', 'fc00::42'], { alternativeNames: ['outside'] }),
      ]),
      egressNode('worker4', 3, [
        device('eth0', ['172.18.0.3', 'fc00::3'], { isDefaultRoute: true }),
        device('net0', ['172.18.0.43', 'fe80::43', 'fc00::43']),
      ]),
    ],
    egressAddresses: [],
    settings: {
      slots: 512,
      isChained: false,
      networkPolicies: 'enforce',
      stackCIDRs: [prefix('10.96.0.0/12')],
      nonMasqueradeCIDRs: [],
      ports: allPorts,
    },
    ...parts,
  }
}

function zone(name: string): Labels {
  return { 'topology.kubernetes.io/zone': name }
}
