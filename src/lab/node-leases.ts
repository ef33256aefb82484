import type { ResourceName } from '../kube/client.ts'

/** Where kubelets say that they live, and the node controller reads it. */
export const leaseNamespace = 'kube-node-lease'

export const nodeLeases: ResourceName = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  isNamespaced: true,
}
