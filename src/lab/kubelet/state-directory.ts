/** Where a kubelet keeps what must outlive it: in its node's own file system, which goes with the node. */
export const stateDirectory = '/run/kubelet'
