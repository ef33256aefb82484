/** On a node. */
export const containerdSocket = '/run/containerd/containerd.sock'

/** Of containerd, for what it does by the Container Runtime Interface. */
export const containerdNamespace = 'k8s.io'

/** Also for a containerd that runs for a moment, to unpack images. */
export const pauseImage = 'registry.k8s.io/pause:lab'

/** Devices and file systems that the lab's nodes do not have, and traces that nobody collects. */
const withoutUse = [
  'io.containerd.internal.v1.opt',
  'io.containerd.snapshotter.v1.aufs',
  'io.containerd.snapshotter.v1.btrfs',
  'io.containerd.snapshotter.v1.devmapper',
  'io.containerd.snapshotter.v1.native',
  'io.containerd.snapshotter.v1.zfs',
  'io.containerd.tracing.processor.v1.otlp',
]

/**
 * A node's containerd. Its cgroups are the node's, without controllers: freezing and ending a node then reach its containers, and
 * limits of memory and CPU have no effect. Root of the lab may lack the right to lower an OOM score.
 */
export function containerdConfiguration(root: string): string {
  return `version = 2
root = "${root}"
state = "/run/containerd"
oom_score = 0
disabled_plugins = ${JSON.stringify(withoutUse)}

[grpc]
address = "${containerdSocket}"

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "${pauseImage}"
disable_apparmor = true
disable_cgroup = true
enable_selinux = false
restrict_oom_score_adj = true

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/opt/cni/bin"
conf_dir = "/etc/cni/net.d"
max_conf_num = 1
`
}
