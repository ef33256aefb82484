import type { Address } from '../../src/net/address.ts'
import type { Cluster, NodeSpec } from './cluster.ts'
import type { Random } from './random.ts'

/** What a seed's cluster consists of. */
export interface Scenario {
  readonly nodes: readonly NodeSpec[]
  readonly policies: readonly PolicySpec[]
  /** By machine. */
  readonly pods: readonly { readonly name: string; readonly app: string; readonly machine: string }[]
}

export interface PolicySpec {
  readonly kind: 'CiliumEgressGatewayPolicy' | 'IsovalentEgressGatewayPolicy'
  readonly name: string
  readonly spec: object
}

export const gatewayLabel = { 'egress-gw': 'true' }
const isGateway = { matchLabels: gatewayLabel }
const selects = (app: string): object[] => [{ podSelector: { matchLabels: { app } } }]
const address = (text: string): Address => text as Address

/** Two or three gateways, one to three workers; policies of both kinds, of which a seed has some. */
export function drawScenario(random: Random): Scenario {
  const gatewayCount = random.within(2, 3)
  const workerCount = random.within(1, 2)
  const nodes = Array.from({ length: gatewayCount + workerCount }, (_, index): NodeSpec => {
    const isOne = index < gatewayCount
    return {
      name: isOne ? `gateway${index + 1}` : `worker${index - gatewayCount + 1}`,
      address: address(`172.18.0.${index + 2}`),
      labels: isOne ? gatewayLabel : {},
      egressAddresses: isOne ? [address(`172.18.0.${index + 42}`)] : [],
    }
  })
  const drawn = [cilium(), spread(random), pool(random), named()].filter(() => random.percent(70))
  const policies = drawn.length === 0 ? [cilium()] : drawn
  /* A policy without a pod shows nothing: the workers' pods are its pods first. */
  const waiting = policies.map(({ name }) => appOf(name))
  const apps = [...waiting, 'free']
  const pods = nodes.toReversed().flatMap(({ name }, index) =>
    Array.from({ length: index < workerCount ? random.within(1, 2) : random.within(0, 1) }, (_, number) => {
      const app = waiting.shift() ?? random.pick(apps)
      return { name: `${app}-${name}-${number + 1}`, app, machine: name }
    }),
  )
  return { nodes, policies, pods }
}

const appsByPolicy: Readonly<Record<string, string>> = {
  'one-gateway': 'payments',
  spread: 'billing',
  pool: 'batch',
  'named-address': 'archive',
}

function appOf(policy: string): string {
  const app = appsByPolicy[policy]
  if (app === undefined) throw new Error(`policy ${policy} selects no pods here`)
  return app
}

/** One gateway, the first by name, by its interface. */
export function cilium(app = 'payments', name = 'one-gateway'): PolicySpec {
  return {
    kind: 'CiliumEgressGatewayPolicy',
    name,
    spec: {
      selectors: selects(app),
      destinationCIDRs: ['203.0.113.0/24'],
      egressGateway: { nodeSelector: isGateway, interface: 'net0' },
    },
  }
}

/** One egress IP, which one gateway has. */
function named(): PolicySpec {
  return {
    kind: 'CiliumEgressGatewayPolicy',
    name: 'named-address',
    spec: {
      selectors: selects('archive'),
      destinationCIDRs: ['0.0.0.0/0'],
      egressGateway: { nodeSelector: isGateway, egressIP: '172.18.0.43' },
    },
  }
}

function spread(random: Random): PolicySpec {
  const limit = random.percent(50) ? { maxGatewayNodes: 1 } : {}
  return {
    kind: 'IsovalentEgressGatewayPolicy',
    name: 'spread',
    spec: {
      selectors: selects('billing'),
      destinationCIDRs: ['0.0.0.0/0'],
      egressGroups: [{ nodeSelector: isGateway, interface: 'net0', ...limit }],
    },
  }
}

export function pool(random: Random): PolicySpec {
  return {
    kind: 'IsovalentEgressGatewayPolicy',
    name: 'pool',
    spec: {
      selectors: selects('batch'),
      destinationCIDRs: ['203.0.113.0/24'],
      egressCIDRs: [random.percent(70) ? '172.18.0.96/29' : '172.18.0.96/31'],
      egressGroups: [{ nodeSelector: isGateway }],
    },
  }
}

const paths = {
  CiliumEgressGatewayPolicy: '/apis/cilium.io/v2/ciliumegressgatewaypolicies',
  IsovalentEgressGatewayPolicy: '/apis/isovalent.com/v1/isovalentegressgatewaypolicies',
} as const
const versions = {
  CiliumEgressGatewayPolicy: 'cilium.io/v2',
  IsovalentEgressGatewayPolicy: 'isovalent.com/v1',
} as const

export async function createPolicy(cluster: Cluster, { kind, name, spec }: PolicySpec): Promise<void> {
  cluster.story.tell('admin', `creates ${kind} ${name}`)
  await cluster.api.ask('POST', paths[kind], { apiVersion: versions[kind], kind, metadata: { name }, spec })
}

export async function changePolicy(
  cluster: Cluster,
  { kind, name }: PolicySpec,
  patch: object,
): Promise<void> {
  cluster.story.tell('admin', `changes ${kind} ${name}: ${JSON.stringify(patch)}`)
  await cluster.api
    .ask('PATCH', `${paths[kind]}/${name}`, patch, 'application/merge-patch+json')
    .catch(() => {})
}

export async function deletePolicy(cluster: Cluster, { kind, name }: PolicySpec): Promise<void> {
  cluster.story.tell('admin', `deletes ${kind} ${name}`)
  await cluster.api.ask('DELETE', `${paths[kind]}/${name}`).catch(() => {})
}
