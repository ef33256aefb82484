import type { ResourceName } from '../../kube/client.ts'

/** The namespace of the leases that kubelets renew and the node controller reads. */
export const leaseNamespace = 'kube-node-lease'

export const nodeLeases: ResourceName = {
  group: 'coordination.k8s.io',
  version: 'v1',
  plural: 'leases',
  isNamespaced: true,
}
