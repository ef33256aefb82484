import { kinds, managedByLabel, renderCrds } from './crd.ts'
import { version } from './version.ts'

/** What the objects of an install are called. */
export interface Names {
  readonly agent: string
  readonly agentContainer: string
  readonly agentLabels: Readonly<Record<string, string>>
  readonly operator: string
  readonly operatorLabels: Readonly<Record<string, string>>
}

export const defaultNames: Names = {
  agent: 'sallyport',
  agentContainer: 'sallyport-agent',
  agentLabels: { 'k8s-app': 'sallyport' },
  operator: 'sallyport-operator',
  operatorLabels: { name: 'sallyport-operator' },
}

/** For walkthroughs and scripts that select another gateway's pods by its labels. */
export const compatibleNames: Names = {
  agent: 'cilium',
  agentContainer: 'cilium-agent',
  agentLabels: { 'k8s-app': 'cilium' },
  operator: 'cilium-operator',
  operatorLabels: { name: 'cilium-operator' },
}

export const namespace = 'kube-system'
export const configMapName = 'sallyport-config'
/** Where the agent answers the kubelet's probes, on the node's loopback. */
export const healthPort = 9878

export interface Manifest {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
  }
  readonly [field: string]: unknown
}

const rbac = 'rbac.authorization.k8s.io'
const read = ['get', 'list', 'watch']
const policyGroups = [kinds.ciliumEgressGatewayPolicy, kinds.isovalentEgressGatewayPolicy]
const readRules = [
  { apiGroups: [''], resources: ['nodes', 'namespaces', 'pods'], verbs: read },
  ...policyGroups.map(({ group, plural }) => ({ apiGroups: [group], resources: [plural], verbs: read })),
  { apiGroups: ['sallyport.dev'], resources: ['egressnodes', 'egressaddresses'], verbs: read },
]

const agentRules = [
  ...readRules,
  { apiGroups: ['sallyport.dev'], resources: ['egressnodes/status'], verbs: ['patch'] },
]

/** Chained: a NetworkPolicy that could not hold for what a gateway carries is to be known of. */
const chainedAgentRules = [
  ...agentRules,
  { apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'], verbs: read },
]

const operatorRules = [
  { apiGroups: [''], resources: ['nodes'], verbs: read },
  ...readRules.slice(1),
  {
    apiGroups: ['sallyport.dev'],
    resources: ['egressnodes', 'egressaddresses'],
    verbs: ['create', 'update', 'delete'],
  },
  { apiGroups: ['sallyport.dev'], resources: ['egressaddresses/status'], verbs: ['patch'] },
  { apiGroups: [''], resources: ['events'], verbs: ['create', 'patch'] },
  ...policyGroups.map(({ group, plural }) => ({
    apiGroups: [group],
    resources: [`${plural}/status`],
    verbs: ['patch'],
  })),
]

const leaseRules = [
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'create', 'update'] },
]

/** Everything of an install, in the order in which it is applied. */
export function renderInstall(configMap: Readonly<Record<string, string>>, names: Names): Manifest[] {
  const isChained = configMap['cni-chaining-mode'] === 'generic-veth'
  return [
    ...(renderCrds() as Manifest[]),
    ...['sallyport-agent', 'sallyport-operator'].map((name) =>
      labelled('v1', 'ServiceAccount', name, {}, namespace),
    ),
    ...clusterRole('sallyport-agent', isChained ? chainedAgentRules : agentRules),
    ...clusterRole('sallyport-operator', operatorRules),
    labelled(`${rbac}/v1`, 'Role', 'sallyport-operator', { rules: leaseRules }, namespace),
    labelled(
      `${rbac}/v1`,
      'RoleBinding',
      'sallyport-operator',
      binding('Role', 'sallyport-operator'),
      namespace,
    ),
    labelled('v1', 'ConfigMap', configMapName, { data: configMap }, namespace),
    operatorDeployment(names, Number(configMap['operator-replicas'] ?? 2)),
    labelled(
      'policy/v1',
      'PodDisruptionBudget',
      names.operator,
      { spec: { maxUnavailable: 1, selector: { matchLabels: names.operatorLabels } } },
      namespace,
    ),
    agentDaemonSet(names, isChained),
  ]
}

function labelled(
  apiVersion: string,
  kind: string,
  name: string,
  fields: object,
  inNamespace?: string,
): Manifest {
  const metadata = {
    name,
    ...(inNamespace === undefined ? {} : { namespace: inNamespace }),
    labels: managedByLabel,
  }
  return { apiVersion, kind, metadata, ...fields }
}

function clusterRole(name: string, rules: readonly object[]): Manifest[] {
  return [
    labelled(`${rbac}/v1`, 'ClusterRole', name, { rules }),
    labelled(`${rbac}/v1`, 'ClusterRoleBinding', name, binding('ClusterRole', name)),
  ]
}

function binding(kind: string, name: string): object {
  return { roleRef: { apiGroup: rbac, kind, name }, subjects: [{ kind: 'ServiceAccount', name, namespace }] }
}

const image = `sallyport:${version}`
const configVolume = { name: 'config', configMap: { name: configMapName } }
const configMount = { name: 'config', mountPath: '/etc/sallyport/config', readOnly: true }
const field = (name: string, fieldPath: string): object => ({ name, valueFrom: { fieldRef: { fieldPath } } })

/** It runs before any node is Ready: without its slots no agent can let a selected pod out. */
function operatorDeployment({ operator, operatorLabels }: Names, replicas: number): Manifest {
  const spec = {
    serviceAccountName: 'sallyport-operator',
    hostNetwork: true,
    dnsPolicy: 'ClusterFirstWithHostNet',
    priorityClassName: 'system-cluster-critical',
    tolerations: [{ operator: 'Exists' }],
    affinity: {
      podAntiAffinity: {
        preferredDuringSchedulingIgnoredDuringExecution: [
          {
            weight: 100,
            podAffinityTerm: {
              labelSelector: { matchLabels: operatorLabels },
              topologyKey: 'kubernetes.io/hostname',
            },
          },
        ],
      },
    },
    containers: [
      {
        name: 'operator',
        image,
        command: ['sallyport-operator'],
        env: [field('POD_NAME', 'metadata.name'), field('POD_NAMESPACE', 'metadata.namespace')],
        resources: { requests: { cpu: '20m', memory: '100Mi' } },
        securityContext: {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        },
        volumeMounts: [configMount],
      },
    ],
    volumes: [configVolume],
  }
  const template = { metadata: { labels: { ...operatorLabels, ...managedByLabel } }, spec }
  return labelled(
    'apps/v1',
    'Deployment',
    operator,
    { spec: { replicas, selector: { matchLabels: operatorLabels }, template } },
    namespace,
  )
}

/**
 * Folders of the node that the agent works in. Mounts come in from the node and never go out: pins live in the node's own
 * BPF file system, and only privileged containers may mount for others.
 */
const hostFolders = [
  ['bpffs', '/sys/fs/bpf', 'DirectoryOrCreate', 'HostToContainer'],
  ['run', '/run/sallyport', 'DirectoryOrCreate', undefined],
  ['netns', '/run/netns', 'DirectoryOrCreate', 'HostToContainer'],
  ['cni-bin', '/opt/cni/bin', 'DirectoryOrCreate', undefined],
  ['cni-conf', '/etc/cni/net.d', 'DirectoryOrCreate', undefined],
] as const

/** In chained mode: where the runtime keeps what other plugins made of pods that ran before. */
const cniCache = ['cni-cache', '/var/lib/cni', 'DirectoryOrCreate', undefined] as const

function agentDaemonSet({ agent, agentContainer, agentLabels }: Names, isChained: boolean): Manifest {
  const folders = isChained ? [...hostFolders, cniCache] : hostFolders
  const probe = (path: string, periodSeconds: number): object => ({
    httpGet: { host: '127.0.0.1', path, port: healthPort },
    periodSeconds,
    failureThreshold: 3,
  })
  const spec = {
    serviceAccountName: 'sallyport-agent',
    hostNetwork: true,
    dnsPolicy: 'ClusterFirstWithHostNet',
    priorityClassName: 'system-node-critical',
    tolerations: [{ operator: 'Exists' }],
    containers: [
      {
        name: agentContainer,
        image,
        command: ['sallyport-agent'],
        env: [field('NODE_NAME', 'spec.nodeName')],
        resources: { requests: { cpu: '50m', memory: '120Mi' } },
        readinessProbe: probe('/readyz', 2),
        livenessProbe: probe('/healthz', 10),
        securityContext: {
          readOnlyRootFilesystem: true,
          capabilities: { add: ['BPF', 'NET_ADMIN', 'SYS_ADMIN', 'PERFMON'], drop: ['ALL'] },
        },
        volumeMounts: [
          configMount,
          ...folders.map(([name, path, , mountPropagation]) => ({
            name,
            mountPath: path,
            ...(mountPropagation ? { mountPropagation } : {}),
          })),
        ],
      },
    ],
    volumes: [configVolume, ...folders.map(([name, path, type]) => ({ name, hostPath: { path, type } }))],
  }
  const template = { metadata: { labels: { ...agentLabels, ...managedByLabel } }, spec }
  const updateStrategy = { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } }
  return labelled(
    'apps/v1',
    'DaemonSet',
    agent,
    { spec: { selector: { matchLabels: agentLabels }, updateStrategy, template } },
    namespace,
  )
}
