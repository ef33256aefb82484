import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { KubeClient, type KubeObject, type ResourceName } from '../src/kube/client.ts'
import { coreResource } from '../src/kube/cluster-objects.ts'
import type { ProxiedService } from './kube-proxy-rules.ts'
import { forEach } from './scale/crowd.ts'

/** Runs in the network of a lab's control plane. It creates the Services of standard input, in a cluster that has none of them. */
const { values: options } = parseArgs({
  options: {
    server: { type: 'string', default: '' },
    ca: { type: 'string', default: '' },
    token: { type: 'string', default: '' },
  },
})

const namespace = 'default'
const services = coreResource('services', true)
const slices: ResourceName = {
  group: 'discovery.k8s.io',
  version: 'v1',
  plural: 'endpointslices',
  isNamespaced: true,
}

const serviceObject = ({ name, address, port }: ProxiedService): object => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name, namespace },
  spec: { clusterIP: address, ports: [{ name: 'web', port }] },
})

const sliceObject = ({ name, endpoints }: ProxiedService): object => ({
  apiVersion: 'discovery.k8s.io/v1',
  kind: 'EndpointSlice',
  metadata: { name: `${name}-1`, namespace, labels: { 'kubernetes.io/service-name': name } },
  addressType: 'IPv4',
  ports: [{ name: 'web', port: endpoints[0]?.port, protocol: 'TCP' }],
  endpoints: endpoints.map(({ address }) => ({ addresses: [address] })),
})

const client = new KubeClient(
  { server: options.server, ca: readFileSync(options.ca, 'utf8'), token: () => options.token },
  { userAgent: 'bench' },
)
const wanted = JSON.parse(readFileSync(0, 'utf8')) as ProxiedService[]
const create = async (service: ProxiedService): Promise<void> => {
  await client.resource(services).create(serviceObject(service) as KubeObject)
  await client.resource(slices).create(sliceObject(service) as KubeObject)
}
await forEach(
  'Services',
  wanted.length,
  (index) => create(wanted[index] as ProxiedService),
  () => {},
)
process.exit()
