import { KubeClient, type KubeObject, type ResourceName } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import { Mirror } from '../../kube/mirror.ts'
import { systemClock } from '../../runtime/clock.ts'
import type { Logger } from '../../runtime/log.ts'
import { leaseNamespace, nodeLeases } from '../cluster/node-leases.ts'
import type { NodeLease, NodeObject, PodObject, Workload } from './workload.ts'

export const nodesName = coreResource('nodes', false)
export const podsName = coreResource('pods', true)
const namespacesName = coreResource('namespaces', false)
export const configMapsName = coreResource('configmaps', true)
export const serviceAccountsName = coreResource('serviceaccounts', true)
export const daemonSetsName = apps('daemonsets')
export const deploymentsName = apps('deployments')

/** The ConfigMap by which pods know the API server's authority. */
interface Authority extends KubeObject {
  readonly data?: Readonly<Record<string, string>>
}

function apps(plural: string): ResourceName {
  return { group: 'apps', version: 'v1', plural, isNamespaced: true }
}

/** The controllers' view of the API server, and their way to write to it. */
export class Cluster {
  readonly client: KubeClient
  readonly #mirrors: readonly Mirror<KubeObject, KubeObject>[]
  readonly leaseOf: (node: string) => NodeLease | undefined
  readonly nodesByName: () => readonly NodeObject[]
  readonly pods: () => readonly PodObject[]
  readonly daemonSets: () => readonly Workload[]
  readonly deployments: () => readonly Workload[]
  readonly namespaces: () => readonly KubeObject[]
  readonly hasDefaultAccount: (namespace: string) => boolean
  readonly authorityOf: (namespace: string) => Authority | undefined

  constructor(
    access: { readonly server: string; readonly ca: string; readonly token: string },
    log: Logger,
    onChange: () => void,
  ) {
    const { server, ca, token } = access
    const client = new KubeClient(
      { server, ca, token: () => token },
      { userAgent: 'kube-controller-manager' },
    )
    const mirror = <T extends KubeObject>(name: ResourceName, only?: string): Mirror<T, T> =>
      new Mirror<T, T>(client.resource<T>(name), {
        ...(only === undefined ? {} : { fieldSelector: `metadata.name=${only}` }),
        clock: systemClock,
        log,
        trim: (object) => object,
        onChange,
      })
    const leases = new Mirror<NodeLease, NodeLease>(client.resource<NodeLease>(nodeLeases), {
      namespace: leaseNamespace,
      clock: systemClock,
      log,
      trim: (lease) => lease,
      /* A heartbeat needs no reaction. A missing heartbeat is noticed by the clock. */
      onChange: () => {},
    })
    const [nodes, pods] = [mirror<NodeObject>(nodesName), mirror<PodObject>(podsName)]
    const [daemonSets, deployments] = [mirror<Workload>(daemonSetsName), mirror<Workload>(deploymentsName)]
    const namespaces = mirror<KubeObject>(namespacesName)
    const accounts = mirror<KubeObject>(serviceAccountsName, 'default')
    const authorities = mirror<Authority>(configMapsName, 'kube-root-ca.crt')
    this.client = client
    this.#mirrors = [
      nodes,
      pods,
      daemonSets,
      deployments,
      leases,
      namespaces,
      accounts,
      authorities,
    ] as unknown as Mirror<KubeObject, KubeObject>[]
    this.nodesByName = () =>
      [...nodes.items.values()].sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    this.leaseOf = (node) => leases.items.get(`${leaseNamespace}/${node}`)
    this.pods = () => [...pods.items.values()]
    this.daemonSets = () => [...daemonSets.items.values()]
    this.deployments = () => [...deployments.items.values()]
    this.namespaces = () => [...namespaces.items.values()]
    this.hasDefaultAccount = (namespace) => accounts.items.has(`${namespace}/default`)
    this.authorityOf = (namespace) => authorities.items.get(`${namespace}/kube-root-ca.crt`)
  }

  /** Controllers decide only after every list has arrived once. */
  get hasSynced(): boolean {
    return this.#mirrors.every(({ hasSynced }) => hasSynced)
  }

  async watch(signal: AbortSignal): Promise<void> {
    await Promise.all(this.#mirrors.map((mirror) => mirror.start(signal)))
  }
}
