import { securityOf } from '../../containers/confinement.ts'
import { type Container, containersOf, type Pod, type SecurityContext } from '../../pod-spec.ts'
import type { Bind } from '../../volumes/binds.ts'
import type { ContainerStart } from '../runtime.ts'

/* What a kubelet makes of a pod for a container runtime: messages of runtime.proto. */

const namespaces = ({ spec: { hostNetwork } }: Pod): object => ({
  network: hostNetwork ? 'NODE' : 'POD',
  pid: 'CONTAINER',
  ipc: 'POD',
})

/** As with a kubelet whose `seccompDefault` is on: the strictest that a cluster may have. */
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

/** In /proc and /sys, what containers do not see, and what they may not write: every kubelet asks for the same. */
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
  /* The image's user where the pod names none: the runtime knows it. */
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

/** Shares of a CPU as a kubelet works them out from a request; the runtime ignores them where the lab's nodes have no controllers. */
function resourcesOf({ resources }: Container): object {
  const cpu = resources?.requests?.cpu
  if (cpu === undefined) return { cpu_shares: 2 }
  const milliCpu = cpu.endsWith('m') ? Number.parseInt(cpu, 10) : Number(cpu) * 1000
  return { cpu_shares: Math.max(2, Math.floor((milliCpu * 1024) / 1000)) }
}
