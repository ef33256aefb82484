import { securityOf } from '../../containers/confinement.ts'
import { type Container, containersOf, type Pod, type SecurityContext } from '../../pod-spec.ts'
import type { Bind } from '../../volumes/binds.ts'
import type { ContainerStart } from '../runtime.ts'

/* A pod as messages for a container runtime (runtime.proto). */

const namespaces = ({ spec: { hostNetwork } }: Pod): object => ({
  network: hostNetwork ? 'NODE' : 'POD',
  pid: 'CONTAINER',
  ipc: 'POD',
})

/** As with the kubelet's `seccompDefault`, the strictest setting of a cluster. */
const seccomp = ({ privileged }: SecurityContext): object => ({
  profile_type: privileged ? 'Unconfined' : 'RuntimeDefault',
})

export function sandboxConfig(pod: Pod, logDirectory: string): object {
  const { name, namespace = 'default', uid = '', labels = {}, annotations = {} } = pod.metadata
  const isPrivileged = containersOf(pod).some((container) => container.securityContext?.privileged)
  return {
    metadata: { name, namespace, uid, attempt: 0 },
    /* A pod in the node's network has the node's name. */
    ...(pod.spec.hostNetwork ? {} : { hostname: name }),
    log_directory: logDirectory,
    labels: {
      ...labels,
      'io.kubernetes.pod.name': name,
      'io.kubernetes.pod.namespace': namespace,
      'io.kubernetes.pod.uid': uid,
    },
    annotations,
    linux: {
      security_context: {
        namespace_options: namespaces(pod),
        privileged: isPrivileged,
        seccomp: { profile_type: 'RuntimeDefault' },
      },
    },
  }
}

export function containerConfig(
  { pod, container, command, args, restarts, env, binds }: ContainerStart,
  logPath: string,
): object {
  return {
    metadata: { name: container.name, attempt: restarts },
    image: { image: container.image },
    command: command ?? [],
    args: args ?? [],
    envs: Object.entries(env).map(([key, value]) => ({ key, value })),
    mounts: binds.map(mountOf),
    labels: {
      'io.kubernetes.container.name': container.name,
      'io.kubernetes.pod.uid': pod.metadata.uid ?? '',
    },
    log_path: logPath,
    linux: { resources: resourcesOf(container), security_context: securityContext(pod, container) },
  }
}

function mountOf({ source, target, propagation, isReadOnly }: Bind): object {
  const propagations = {
    None: 'PROPAGATION_PRIVATE',
    HostToContainer: 'PROPAGATION_HOST_TO_CONTAINER',
    Bidirectional: 'PROPAGATION_BIDIRECTIONAL',
  } as const
  return {
    container_path: target,
    host_path: source,
    readonly: isReadOnly,
    propagation: propagations[propagation],
  }
}

/** The paths in /proc and /sys that containers do not see or cannot write, as every kubelet sets them. */
const masked = [
  'acpi',
  'asound',
  'kcore',
  'keys',
  'latency_stats',
  'sched_debug',
  'scsi',
  'timer_list',
  'timer_stats',
]
const readOnly = ['bus', 'fs', 'irq', 'sys', 'sysrq-trigger']

function securityContext(pod: Pod, container: Container): object {
  const security = securityOf(pod, container)
  const { privileged = false, capabilities = {}, readOnlyRootFilesystem, allowPrivilegeEscalation } = security
  /* If the pod names no user, the runtime uses the image's user. */
  const { runAsUser, runAsGroup } = { ...pod.spec.securityContext, ...container.securityContext }
  return {
    namespace_options: namespaces(pod),
    privileged,
    capabilities: { add_capabilities: capabilities.add ?? [], drop_capabilities: capabilities.drop ?? [] },
    ...(runAsUser === undefined ? {} : { run_as_user: { value: runAsUser } }),
    ...(runAsUser === undefined || runAsGroup === undefined ? {} : { run_as_group: { value: runAsGroup } }),
    readonly_rootfs: readOnlyRootFilesystem ?? false,
    no_new_privs: allowPrivilegeEscalation === false,
    seccomp: seccomp(security),
    masked_paths: privileged ? [] : [...masked.map((name) => `/proc/${name}`), '/sys/firmware'],
    readonly_paths: privileged ? [] : readOnly.map((name) => `/proc/${name}`),
  }
}

/**
 * CPU shares as a kubelet computes them from a request. The runtime ignores them, because the lab's nodes have no cgroup
 * controllers.
 */
function resourcesOf({ resources }: Container): object {
  const cpu = resources?.requests?.cpu
  if (cpu === undefined) return { cpu_shares: 2 }
  const milliCpu = cpu.endsWith('m') ? Number.parseInt(cpu, 10) : Number(cpu) * 1000
  return { cpu_shares: Math.max(2, Math.floor((milliCpu * 1024) / 1000)) }
}
