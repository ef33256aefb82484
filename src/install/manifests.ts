import { renderCrds } from '../api/crd.ts'
import { kinds, managedByLabel } from '../api/kinds.ts'
import { agentDaemonSet, startup } from './agent-manifests.ts'
import {
  configMapName,
  configMount,
  configurationAnnotation,
  configVolume,
  defaultContainerAnnotation,
  field,
  labelled,
  leaderLeaseName,
  type Manifest,
  type Names,
  namespace,
  withoutRights,
} from './manifest.ts'
import { monitorManifests } from './monitor-manifests.ts'
import { monitoringManifests } from './monitoring/manifests.ts'
import { imageFields, podOptions } from './pod-options.ts'
import { withServerDefaults } from './server-defaults.ts'
import { replacesKubeProxy } from './settings/process-settings.ts'

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
  { apiGroups: ['networking.k8s.io'], resources: ['networkpolicies'], verbs: read },
]

/** The agent must know the Services that it translates: in chained mode, those that lead out of the cluster. */
const serviceRules = [
  { apiGroups: [''], resources: ['services'], verbs: read },
  { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: read },
]

/** The manifest of an install that translates no Services. */
export function withoutServiceRules(each: Manifest): Manifest {
  if (each.rules === undefined) return each
  const left = serviceRules.flatMap(({ resources }) => resources)
  const rules = each.rules as readonly { readonly resources: readonly string[] }[]
  return { ...each, rules: rules.filter(({ resources }) => !resources.some((one) => left.includes(one))) }
}

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

/** The namespace also has leases of other components, such as kube-scheduler. RBAC cannot restrict `create` to a name. */
const ofLeases = { apiGroups: ['coordination.k8s.io'], resources: ['leases'] }
const leaseRules = [
  { ...ofLeases, resourceNames: [leaderLeaseName], verbs: ['get', 'update'] },
  { ...ofLeases, verbs: ['create'] },
]

/** All objects of an install, in the order in which they are applied. */
export function renderInstall(configMap: Readonly<Record<string, string>>, names: Names): Manifest[] {
  const isChained = configMap['cni-chaining-mode'] === 'generic-veth'
  const translatesServices = isChained || replacesKubeProxy(configMap['kube-proxy-replacement'] ?? '')
  return [
    ...(renderCrds() as Manifest[]),
    ...['sallyport-agent', 'sallyport-operator'].map((name) =>
      labelled('v1', 'ServiceAccount', name, {}, namespace),
    ),
    ...clusterRole('sallyport-agent', translatesServices ? [...agentRules, ...serviceRules] : agentRules),
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
    operatorDeployment(names, configMap),
    labelled(
      'policy/v1',
      'PodDisruptionBudget',
      names.operator,
      { spec: { maxUnavailable: 1, selector: { matchLabels: names.operatorLabels } } },
      namespace,
    ),
    agentDaemonSet(names, configMap),
    ...monitorManifests(names, configMap),
    ...monitoringManifests(configMap),
  ].map(withServerDefaults)
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

const heartbeat = {
  volume: { name: 'heartbeat', emptyDir: { medium: 'Memory', sizeLimit: '1Mi' } },
  mount: { name: 'heartbeat', mountPath: '/run/sallyport-operator' },
  file: '/run/sallyport-operator/heartbeat',
}
/** Fails after six missed heartbeats. */
const heartbeatProbe = (periodSeconds: number, failureThreshold: number): object => ({
  exec: { command: ['sh', '-c', `[ -n "$(find ${heartbeat.file} -newermt '-30 seconds')" ]`] },
  periodSeconds,
  timeoutSeconds: 5,
  failureThreshold,
})

/** Prefers different nodes, so that one operator survives the failure of a node. */
const onDifferentNodes = (matchLabels: Readonly<Record<string, string>>): object => ({
  podAntiAffinity: {
    preferredDuringSchedulingIgnoredDuringExecution: [
      {
        weight: 100,
        podAffinityTerm: { labelSelector: { matchLabels }, topologyKey: 'kubernetes.io/hostname' },
      },
    ],
  },
})

function operatorDeployment(
  { operator, operatorLabels }: Names,
  configMap: Readonly<Record<string, string>>,
): Manifest {
  const replicas = Number(configMap['operator-replicas'] ?? 2)
  const { labels, annotations, resources, scheduling } = podOptions(configMap, 'operator')
  const spec = {
    serviceAccountName: 'sallyport-operator',
    hostNetwork: true,
    dnsPolicy: 'ClusterFirstWithHostNet',
    affinity: onDifferentNodes(operatorLabels),
    ...scheduling,
    containers: [
      {
        name: 'operator',
        ...imageFields(configMap),
        command: ['sallyport-operator', '--heartbeat-file', heartbeat.file],
        env: [field('POD_NAME', 'metadata.name'), field('POD_NAMESPACE', 'metadata.namespace')],
        resources,
        startupProbe: heartbeatProbe(startup.periodSeconds, startup.failureThreshold),
        readinessProbe: heartbeatProbe(5, 3),
        livenessProbe: heartbeatProbe(10, 3),
        terminationMessagePolicy: 'FallbackToLogsOnError',
        securityContext: withoutRights,
        volumeMounts: [configMount, heartbeat.mount],
      },
    ],
    volumes: [configVolume, heartbeat.volume],
  }
  const template = {
    metadata: {
      labels: { ...operatorLabels, ...managedByLabel, ...labels },
      annotations: {
        ...defaultContainerAnnotation('operator'),
        ...configurationAnnotation(configMap),
        ...annotations,
      },
    },
    spec,
  }
  return labelled(
    'apps/v1',
    'Deployment',
    operator,
    { spec: { replicas, selector: { matchLabels: operatorLabels }, template } },
    namespace,
  )
}
