import { version } from '../../api/version.ts'
import type { Setting } from './setting.ts'

/** The settings of the pods of agents and operators: image, resources and scheduling. */

export const imageTagKey = 'image-tag'

const everywhere = [{ operator: 'Exists' }]

/**
 * An operator must run before any node is Ready, because an agent without a slot drops the traffic that policies select. It does not
 * tolerate every taint. Otherwise it would return to a drained node and stay on a lost one.
 */
const beforeNodesAreReady = [
  'node.kubernetes.io/not-ready',
  'node.kubernetes.io/network-unavailable',
  'node.cloudprovider.kubernetes.io/uninitialized',
  'node-role.kubernetes.io/control-plane',
].map((key) => ({ key, operator: 'Exists' }))

/** Labels by which the workloads select their pods. */
const selectorLabels: readonly string[] = ['k8s-app', 'name', 'app.kubernetes.io/managed-by']

const imageSettings: readonly Setting[] = [
  {
    path: 'image.repository',
    key: 'image-repository',
    kind: 'word',
    fallback: 'sallyport',
    help: 'Image of agents and operators, without the tag. Set it: no image is published yet.',
  },
  {
    path: 'image.tag',
    key: imageTagKey,
    kind: 'word',
    fallback: version,
    help: 'Tag of the image. An upgrade sets it to the version of the command.',
  },
  {
    path: 'image.pullPolicy',
    key: 'image-pull-policy',
    kind: 'word',
    fallback: 'IfNotPresent',
    choices: ['IfNotPresent', 'Always', 'Never'],
    help: 'When nodes pull the image.',
  },
  {
    path: 'image.pullSecrets',
    key: 'image-pull-secrets',
    kind: 'list',
    fallback: '',
    help: 'Names of Secrets in kube-system with the credentials of a private registry.',
  },
]

const settingsOf = (
  prefix: string,
  keyPrefix: string,
  workload: 'agent' | 'operator',
  defaults: {
    resources: object
    tolerations: readonly object[]
    priorityClassName: string
    affinity: string
  },
): readonly Setting[] => [
  {
    path: `${prefix}resources`,
    key: `${keyPrefix}resources`,
    kind: 'object',
    fallback: JSON.stringify(defaults.resources),
    help: `Resource requests and limits of each ${workload}.`,
  },
  {
    path: `${prefix}nodeSelector`,
    key: `${keyPrefix}node-selector`,
    kind: 'map',
    fallback: '{}',
    help:
      workload === 'agent'
        ? 'Labels of the nodes that run an agent. On other nodes, no egress policy is enforced.'
        : 'Labels of the nodes that can run an operator.',
  },
  {
    path: `${prefix}tolerations`,
    key: `${keyPrefix}tolerations`,
    kind: 'objects',
    fallback: JSON.stringify(defaults.tolerations),
    help:
      workload === 'agent'
        ? 'Taints that agents tolerate. By default all of them, so that every node enforces policies.'
        : 'Taints that operators tolerate. By default, taints of nodes that are starting, and of control-plane nodes.',
  },
  {
    path: `${prefix}affinity`,
    key: `${keyPrefix}affinity`,
    kind: 'object',
    fallback: '{}',
    help: defaults.affinity,
  },
  {
    path: `${prefix}priorityClassName`,
    key: `${keyPrefix}priority-class-name`,
    kind: 'word',
    fallback: defaults.priorityClassName,
    help: `PriorityClass of each ${workload}.`,
  },
  {
    path: `${prefix}podAnnotations`,
    key: `${keyPrefix}pod-annotations`,
    kind: 'map',
    fallback: '{}',
    help: `Additional annotations of each ${workload}’s pod.`,
  },
  {
    path: `${prefix}podLabels`,
    key: `${keyPrefix}pod-labels`,
    kind: 'map',
    fallback: '{}',
    reserved: selectorLabels,
    help: `Additional labels of each ${workload}’s pod.`,
  },
]

export const workloadSettings: readonly Setting[] = [
  ...imageSettings,
  {
    path: 'operator.replicas',
    key: 'operator-replicas',
    kind: 'integer',
    fallback: '2',
    range: [1, 5],
    help: 'Number of operators. One operator is active. The others are on standby.',
  },
  ...settingsOf('', 'agent-', 'agent', {
    resources: { requests: { cpu: '50m', memory: '120Mi' } },
    tolerations: everywhere,
    priorityClassName: 'system-node-critical',
    affinity: 'Affinity of each agent.',
  }),
  ...settingsOf('operator.', 'operator-', 'operator', {
    resources: { requests: { cpu: '20m', memory: '100Mi' } },
    tolerations: beforeNodesAreReady,
    priorityClassName: 'system-cluster-critical',
    affinity: 'Affinity of each operator. If empty, operators prefer different nodes.',
  }),
  {
    path: 'serviceMonitor.enabled',
    key: 'service-monitor',
    kind: 'boolean',
    fallback: 'false',
    help: 'Create Services and ServiceMonitors, so that the Prometheus Operator scrapes every agent and operator. Also set health.address to 0.0.0.0 or ::.',
  },
  {
    path: 'serviceMonitor.labels',
    key: 'service-monitor-labels',
    kind: 'map',
    fallback: '{}',
    reserved: ['app.kubernetes.io/managed-by'],
    help: 'Additional labels of the ServiceMonitors. Use those by which your Prometheus selects it.',
  },
  {
    path: 'serviceMonitor.interval',
    key: 'service-monitor-interval',
    kind: 'duration',
    fallback: '30s',
    help: 'How often Prometheus scrapes an agent or an operator.',
  },
  {
    path: 'prometheusRule.enabled',
    key: 'prometheus-rule',
    kind: 'boolean',
    fallback: 'false',
    help: 'Create a PrometheusRule with the alerts, for the Prometheus Operator.',
  },
  {
    path: 'prometheusRule.labels',
    key: 'prometheus-rule-labels',
    kind: 'map',
    fallback: '{}',
    reserved: ['app.kubernetes.io/managed-by'],
    help: 'Additional labels of the PrometheusRule. Use those by which your Prometheus selects it.',
  },
  {
    path: 'dashboards.enabled',
    key: 'dashboards',
    kind: 'boolean',
    fallback: 'false',
    help: 'Create a ConfigMap with the dashboards, for the sidecar of Grafana.',
  },
  {
    path: 'dashboards.labels',
    key: 'dashboards-labels',
    kind: 'map',
    fallback: '{"grafana_dashboard":"1"}',
    reserved: ['app.kubernetes.io/managed-by'],
    help: 'Additional labels of that ConfigMap. The sidecar of Grafana selects ConfigMaps by a label.',
  },
]
