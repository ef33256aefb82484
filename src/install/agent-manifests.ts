import { managedByLabel } from '../api/kinds.ts'
import {
  configMount,
  configurationAnnotation,
  configVolume,
  defaultContainerAnnotation,
  field,
  labelled,
  type Manifest,
  type Names,
  namespace,
} from './manifest.ts'
import { imageFields, podOptions, pullSecrets } from './pod-options.ts'
import { withServerDefaults } from './server-defaults.ts'
import { cleanedPath, cniKeys, healthPortKey } from './settings/process-settings.ts'

const bpffs = {
  name: 'bpffs',
  path: '/sys/fs/bpf',
  type: 'DirectoryOrCreate',
  mountPropagation: 'HostToContainer',
} as const

/**
 * The node's folders that the agent uses. The agent sees the node's mounts, but the node does not see the agent's, because only privileged
 * containers may propagate mounts. Sysctls are read-only in a container's own /proc, so the node's are mounted. The two folders of the
 * container runtime have the same paths in the container, wherever they are on the node.
 */
const hostFolders = (configMap: Readonly<Record<string, string>>): readonly HostFolder[] => [
  bpffs,
  { name: 'run', path: '/run/sallyport', type: 'DirectoryOrCreate' },
  { name: 'netns', path: '/run/netns', type: 'DirectoryOrCreate', mountPropagation: 'HostToContainer' },
  {
    name: 'cni-bin',
    path: configMap[cniKeys.binaries] ?? '',
    mountPath: '/opt/cni/bin',
    type: 'DirectoryOrCreate',
  },
  {
    name: 'cni-conf',
    path: configMap[cniKeys.configuration] ?? '',
    mountPath: '/etc/cni/net.d',
    type: 'DirectoryOrCreate',
  },
  { name: 'sysctls', path: '/proc/sys/net', mountPath: '/run/host/proc/sys/net', type: 'Directory' },
]

/** The NAT log: a reboot and an uninstall leave it there, and a log shipper finds it. */
const natLogFolder = { name: 'nat-log', path: '/var/log/sallyport', type: 'DirectoryOrCreate' } as const

/** For chained mode: the folder in which the runtime keeps the results of other plugins for pods that already run. */
const cniCache = { name: 'cni-cache', path: '/var/lib/cni', type: 'DirectoryOrCreate' } as const

interface HostFolder {
  readonly name: string
  readonly path: string
  readonly type: string
  readonly mountPath?: string
  readonly mountPropagation?: string
}

const volumeOf = ({ name, path, type }: HostFolder): object => ({ name, hostPath: { path, type } })
const mountOf = ({ name, path, mountPath = path, mountPropagation }: HostFolder): object => ({
  name,
  mountPath,
  ...(mountPropagation === undefined ? {} : { mountPropagation }),
})

const inNodeNetwork = { hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet' }

/** Runs on every node, whatever its taints. */
const everywhere = {
  ...inNodeNetwork,
  priorityClassName: 'system-node-critical',
  tolerations: [{ operator: 'Exists' }],
}

/**
 * The default AppArmor profile of container runtimes forbids writes below /sys/fs, and the default SELinux type forbids access to the
 * node's files, whatever the capabilities. Before Kubernetes 1.30, only an annotation could set the AppArmor profile.
 */
const unconfined = {
  appArmorProfile: { type: 'Unconfined' },
  seLinuxOptions: { type: 'spc_t', level: 's0' },
}
const unconfinedAnnotation = (container: string): Readonly<Record<string, string>> => ({
  [`container.apparmor.security.beta.kubernetes.io/${container}`]: 'unconfined',
})

/**
 * The agent needs BPF and PERFMON to load programs, NET_ADMIN for devices and routes, NET_RAW to announce addresses, SYS_ADMIN to enter
 * pods' network namespaces, and DAC_OVERRIDE if root does not own the CNI folders, as with Kubespray. It does not need SYS_RESOURCE,
 * because kernels since 5.11 account maps to the memory cgroup. A runtime that lacks that capability itself, as on hardened or nested
 * hosts, would refuse the container.
 */
const securityContext = {
  runAsUser: 0,
  readOnlyRootFilesystem: true,
  capabilities: {
    add: ['BPF', 'NET_ADMIN', 'NET_RAW', 'SYS_ADMIN', 'PERFMON', 'DAC_OVERRIDE'],
    drop: ['ALL'],
  },
  ...unconfined,
}

/**
 * Mounts the BPF file system on nodes without systemd, such as the nodes of kind. It must be the node's mount. A mount of the agent would
 * end with its container, and all programs with it.
 */
const mountBpffs = (configMap: Readonly<Record<string, string>>): object => ({
  name: 'mount-bpffs',
  ...imageFields(configMap),
  command: ['sh', '-c', `[ "$(stat -f -c %T ${bpffs.path})" = bpf_fs ] || mount -t bpf bpf ${bpffs.path}`],
  resources: { requests: { cpu: '10m', memory: '10Mi' } },
  securityContext: { privileged: true, runAsUser: 0 },
  volumeMounts: [mountOf({ ...bpffs, mountPropagation: 'Bidirectional' })],
})

const probe = (port: number, path: string, periodSeconds: number, failureThreshold = 3): object => ({
  httpGet: { host: '127.0.0.1', path, port },
  periodSeconds,
  timeoutSeconds: 5,
  failureThreshold,
})

/**
 * The kubelet kills an agent that does not start within two minutes. The container's `lastState` then names the stage of the start. A start
 * takes one second on an idle node, and ten on a busy one.
 */
export const startup = { periodSeconds: 5, failureThreshold: 24 } as const

export function agentDaemonSet(
  { agent, agentContainer, agentLabels }: Names,
  configMap: Readonly<Record<string, string>>,
): Manifest {
  const isChained = configMap['cni-chaining-mode'] === 'generic-veth'
  const healthPort = Number(configMap[healthPortKey])
  const folders = [
    ...hostFolders(configMap),
    ...(isChained ? [cniCache] : []),
    ...(configMap['nat-log'] === 'true' ? [natLogFolder] : []),
  ]
  const { labels, annotations, resources, scheduling } = podOptions(configMap, 'agent')
  const spec = {
    serviceAccountName: 'sallyport-agent',
    ...inNodeNetwork,
    ...scheduling,
    initContainers: [mountBpffs(configMap)],
    containers: [
      {
        name: agentContainer,
        ...imageFields(configMap),
        command: ['sallyport-agent'],
        env: [field('NODE_NAME', 'spec.nodeName')],
        ports: [{ name: 'metrics', containerPort: healthPort }],
        resources,
        startupProbe: probe(healthPort, '/healthz', startup.periodSeconds, startup.failureThreshold),
        readinessProbe: probe(healthPort, '/readyz', 2),
        livenessProbe: probe(healthPort, '/healthz', 10, 6),
        terminationMessagePolicy: 'FallbackToLogsOnError',
        securityContext,
        volumeMounts: [configMount, ...folders.map(mountOf)],
      },
    ],
    volumes: [configVolume, ...folders.map(volumeOf)],
  }
  const metadata = {
    labels: { ...agentLabels, ...managedByLabel, ...labels },
    annotations: {
      ...defaultContainerAnnotation(agentContainer),
      ...configurationAnnotation(configMap),
      ...unconfinedAnnotation(agentContainer),
      ...annotations,
    },
  }
  const updateStrategy = { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } }
  return labelled(
    'apps/v1',
    'DaemonSet',
    agent,
    { spec: { selector: { matchLabels: agentLabels }, updateStrategy, template: { metadata, spec } } },
    namespace,
  )
}

const cleanUpLabels = { 'k8s-app': 'sallyport-clean-up' }
const cleanUpContainer = 'clean-up'

/** Removes everything of Sallyport from every node. Its pods become ready when they are done. Apply it when no agent runs. */
export function cleanUpDaemonSet(configMap: Readonly<Record<string, string>>): Manifest {
  const folders = hostFolders(configMap)
  const healthPort = Number(configMap[healthPortKey])
  const spec = {
    automountServiceAccountToken: false,
    ...everywhere,
    ...pullSecrets(configMap),
    containers: [
      {
        name: cleanUpContainer,
        ...imageFields(configMap),
        command: ['sallyport-agent', '--clean-up', '--stay', String(healthPort)],
        resources: { requests: { cpu: '50m', memory: '60Mi' } },
        readinessProbe: probe(healthPort, cleanedPath, 1),
        terminationMessagePolicy: 'FallbackToLogsOnError',
        securityContext,
        volumeMounts: folders.map(mountOf),
      },
    ],
    volumes: folders.map(volumeOf),
  }
  const metadata = {
    labels: { ...cleanUpLabels, ...managedByLabel },
    annotations: unconfinedAnnotation(cleanUpContainer),
  }
  const manifest = labelled(
    'apps/v1',
    'DaemonSet',
    'sallyport-clean-up',
    {
      spec: {
        selector: { matchLabels: cleanUpLabels },
        updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: '100%' } },
        template: { metadata, spec },
      },
    },
    namespace,
  )
  return withServerDefaults(manifest)
}
