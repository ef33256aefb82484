import type { KubeClient, KubeObject } from '../../kube/client.ts'
import { clusterResource, coreResource } from '../../kube/cluster-objects.ts'
import { KubeError } from '../../kube/kube-error.ts'
import { type Address, parseAddress } from '../../net/address.ts'
import { contains, covers, type Prefix, parsePrefix } from '../../net/prefix.ts'
import type { Finding } from '../../runtime/finding.ts'

/** The addresses of Services, as far as the cluster reveals them. */
export interface ServiceFacts {
  readonly prefixes: readonly Prefix[]
  /** The addresses of the Service `kubernetes`, which every cluster has. */
  readonly addresses: readonly Address[]
}

export async function gatherServiceFacts(client: KubeClient): Promise<ServiceFacts> {
  const listed = await unlessRefused(() => listServiceCidrs(client), [])
  return {
    prefixes: listed.length > 0 ? listed : await unlessRefused(() => provokeRange(client), []),
    addresses: await unlessRefused(() => readOwnService(client), []),
  }
}

/** Kubernetes 1.33 and later have ServiceCIDR objects. */
async function listServiceCidrs(client: KubeClient): Promise<readonly Prefix[]> {
  const name = clusterResource({ group: 'networking.k8s.io', version: 'v1', plural: 'servicecidrs' })
  const { items } = await client
    .resource<KubeObject & { readonly spec?: { readonly cidrs?: readonly string[] } }>(name)
    .list()
  return items.flatMap(({ spec }) => spec?.cidrs ?? []).flatMap((text) => parsePrefix(text) ?? [])
}

/** Earlier versions name the range when they refuse an address outside it. A dry run creates nothing. */
async function provokeRange(client: KubeClient): Promise<readonly Prefix[]> {
  const services = client.resource<KubeObject>(coreResource('services', true))
  const metadata = { name: 'sallyport-preflight', namespace: 'default' }
  /* No cluster uses TEST-NET-1 (RFC 5737). */
  const spec = { clusterIP: '192.0.2.1', ports: [{ port: 1 }] }
  try {
    await services.create({ apiVersion: 'v1', kind: 'Service', metadata, spec } as KubeObject, {
      dryRun: true,
    })
    return []
  } catch (error) {
    const text = error instanceof KubeError ? error.message : ''
    return rangesIn(text)
  }
}

/** The ranges in `The range of valid IPs is 10.96.0.0/12`. */
export function rangesIn(message: string): readonly Prefix[] {
  return [...message.matchAll(/range of valid IPs is ([0-9a-fA-F.:]+\/\d+)/g)].flatMap(
    ([, text = '']) => parsePrefix(text) ?? [],
  )
}

async function readOwnService(client: KubeClient): Promise<readonly Address[]> {
  const { spec } = await client
    .resource<
      KubeObject & {
        readonly spec?: { readonly clusterIP?: string; readonly clusterIPs?: readonly string[] }
      }
    >(coreResource('services', true))
    .get('kubernetes', 'default')
  return (spec?.clusterIPs ?? [spec?.clusterIP ?? '']).flatMap((text) => parseAddress(text) ?? [])
}

/** Without the resource or the right to read it, the range stays unknown. */
async function unlessRefused<T>(read: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await read()
  } catch (error) {
    if (error instanceof KubeError && error.code < 500) return otherwise
    throw error
  }
}

/** An egress policy would capture traffic to a Service outside `stackCIDRs`. */
export function judgeServices(
  { prefixes, addresses }: ServiceFacts,
  stackCIDRs: readonly Prefix[],
): Finding[] {
  const outside = [
    ...prefixes.filter((prefix) => !stackCIDRs.some((each) => covers(each, prefix))),
    ...addresses.filter((address) => !stackCIDRs.some((each) => contains(each, address))),
  ]
  if (outside.length > 0)
    return [
      {
        level: 'problem',
        what: `Services have addresses in ${outside.join(', ')}, outside stackCIDRs (${stackCIDRs.join(', ') || 'empty'}), so an egress policy could capture traffic to them`,
        remedy: `set stackCIDRs to the range of Services: --set stackCIDRs={${(prefixes.length > 0 ? prefixes : ['…']).join(',')}}`,
      },
    ]
  if (prefixes.length === 0) return []
  return [{ level: 'fine', what: `stackCIDRs contains the range of Services, ${prefixes.join(', ')}` }]
}
