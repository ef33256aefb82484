import type { ExplainRequest, Explanation, ServiceStory } from '../../agent/api/explain/explanation.ts'
import type { KubeClient } from '../../kube/client.ts'
import {
  coreResource,
  type KubeEndpointSlice,
  type KubeNode,
  type KubeService,
} from '../../kube/cluster-objects.ts'
import { isNotFound, KubeError } from '../../kube/kube-error.ts'
import { parseAddress } from '../../net/address.ts'
import { UserError } from '../user-error.ts'

const services = coreResource('services', true)
const slices = { group: 'discovery.k8s.io', version: 'v1', plural: 'endpointslices', isNamespaced: true }

interface NamedService {
  readonly namespace: string
  readonly name: string
  /** A number, or the name of a port. Undefined: the only one. */
  readonly port: string | undefined
}

/** `service/web`, `svc/web:80`, `service/shop/web:http`. Undefined for anything else. */
export function parseService(text: string, namespace: string): NamedService | undefined {
  const [, of = namespace, name, port] =
    /^(?:services?|svc)\/(?:([^/:]+)\/)?([^/:]+)(?::([^/:]+))?$/.exec(text) ?? []
  return name === undefined ? undefined : { namespace: of, name, port }
}

/** The cluster IP and the port of a Service. */
export async function findService(
  client: KubeClient,
  { namespace, name, port: wanted }: NamedService,
): Promise<Pick<ExplainRequest, 'to' | 'port' | 'protocol'>> {
  const called = `Service ${namespace}/${name}`
  const { spec = {} } = await client
    .resource<KubeService>(services)
    .get(name, namespace)
    .catch((error: unknown) => {
      throw isNotFound(error) ? new UserError(`there is no ${called}`) : error
    })
  const to = parseAddress(spec.clusterIP ?? '')
  if (to === undefined)
    throw new UserError(`${called} has no cluster IP: give the address of an endpoint instead`)
  const ports = spec.ports ?? []
  const found =
    wanted === undefined && ports.length === 1
      ? ports[0]
      : ports.find((each) => `${each.port}` === wanted || each.name === wanted)
  if (found?.port === undefined) {
    const listed = ports.map((each) => `${each.port}${each.name ? ` (${each.name})` : ''}`).join(', ')
    throw new UserError(
      wanted === undefined
        ? `${called} has several ports: add one of them to --to: ${listed}`
        : `${called} has no port ${wanted}: it has ${listed}`,
    )
  }
  const protocol = (found.protocol ?? 'TCP').toLowerCase()
  if (protocol !== 'tcp' && protocol !== 'udp')
    throw new UserError(
      `${called}: Sallyport translates no ${found.protocol}, and explain has no such packets`,
    )
  return { to, port: found.port, protocol }
}

/**
 * For a destination that Sallyport does not translate: whether it is a Service that kube-proxy translates. Undefined: it is none, or the
 * user may not list Services.
 */
export async function storyOfOthers(
  client: KubeClient,
  { flow, service, program }: Explanation,
): Promise<ServiceStory | undefined> {
  if (service !== undefined || flow.protocol === 'icmp') return undefined
  try {
    const { items } = await client.resource<KubeService>(services).list()
    const nodes = await client.resource<KubeNode>(coreResource('nodes', false)).list()
    const isNode = nodes.items.some(({ status }) =>
      status?.addresses?.some(({ address }) => parseAddress(address) === flow.destination),
    )
    const found = items.flatMap((each) => portOf(each, flow, isNode) ?? [])[0]
    if (found === undefined) return undefined
    const labelSelector = `kubernetes.io/service-name=${found.of.metadata.name}`
    const endpoints = await client
      .resource<KubeEndpointSlice>(slices)
      .list({ namespace: found.of.metadata.namespace ?? '', labelSelector })
    const all = endpoints.items.flatMap((slice) => readyEndpoints(slice, found.portName))
    const outside = all.filter(({ nodeName }) => nodeName === undefined)
    const isLeft = program.verdict.startsWith('PASS_')
    const [first] = outside
    return {
      service: `${found.of.metadata.namespace}/${found.of.metadata.name}`,
      ...{ kind: found.kind, address: flow.destination, port: flow.port },
      translatedBy: isLeft ? 'kube-proxy' : 'none',
      eligible: all.slice(0, 20).map(({ address, port }) => ({ address, port })),
      ...{ eligibleCount: all.length, others: [], affinitySeconds: 0 },
      ...(isLeft && first !== undefined ? { endpoint: { address: first.address, port: first.port } } : {}),
    }
  } catch (error) {
    if (error instanceof KubeError && error.code === 403) return undefined
    throw error
  }
}

function portOf(of: KubeService, { destination, port, protocol }: Explanation['flow'], isNode: boolean) {
  const { spec = {}, status } = of
  const isHere = (text = ''): boolean => parseAddress(text) === destination
  const kind = [spec.clusterIP, ...(spec.clusterIPs ?? [])].some(isHere)
    ? 'ClusterIP'
    : spec.externalIPs?.some(isHere)
      ? 'ExternalIPs'
      : status?.loadBalancer?.ingress?.some(({ ip }) => isHere(ip))
        ? 'LoadBalancer'
        : isNode
          ? 'NodePort'
          : undefined
  const found = spec.ports?.find(
    (each) =>
      (each.protocol ?? 'TCP').toLowerCase() === protocol &&
      (kind === 'NodePort' ? each.nodePort : each.port) === port,
  )
  return kind === undefined || found === undefined
    ? undefined
    : ({ of, kind, portName: found.name ?? ('' as string) } as const)
}

function readyEndpoints({ endpoints = [], ports = [] }: KubeEndpointSlice, portName: string) {
  const port = ports.find(({ name = '' }) => name === portName)?.port
  if (port === undefined) return []
  return endpoints
    .filter(({ conditions }) => conditions?.ready !== false)
    .flatMap(({ addresses = [], nodeName }) =>
      addresses.flatMap((text) => {
        const address = parseAddress(text)
        return address === undefined ? [] : [{ address, port, nodeName }]
      }),
    )
}
