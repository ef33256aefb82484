/*
 * Users of these kinds write keys of labels in the forms that Cilium knows: with the source of the label in front
 * (`k8s:app`, `any:app`), and with names of its own for what a pod's namespace and service account say.
 */

/** Whose label it is. */
export type LabelOwner = 'pod' | 'namespace' | 'node'

interface LabelKey {
  readonly of: LabelOwner
  readonly key: string
}

export const namespaceNameLabel = 'kubernetes.io/metadata.name'
/** The service account of a pod, among the pod's labels. */
export const serviceAccountKey = 'io.cilium.k8s.policy.serviceaccount'
export const podNamespaceKey = 'io.kubernetes.pod.namespace'
export const namespaceLabelPrefix = 'io.cilium.k8s.namespace.labels.'

/** Labels that come from Kubernetes, which all are here. */
const kubernetesSource = /^(k8s|any):/

/** The label that a key of a selector means. `selector` is whose labels the selector is about. */
export function labelKey(selector: LabelOwner, written: string): LabelKey {
  const key = written.replace(kubernetesSource, '')
  if (selector !== 'pod') return { of: selector, key }
  if (key === podNamespaceKey) return { of: 'namespace', key: namespaceNameLabel }
  if (key.startsWith(namespaceLabelPrefix) && key !== namespaceLabelPrefix)
    return { of: 'namespace', key: key.slice(namespaceLabelPrefix.length) }
  return { of: 'pod', key }
}

/**
 * Whether a label is always there, or never; undefined: either. Every pod has a service account, and a namespace with a name.
 * A key with another source than Kubernetes has a colon, which no label has.
 */
export function presenceOf({ of, key }: LabelKey): boolean | undefined {
  if (key.includes(':')) return false
  const isGiven = of === 'namespace' ? key === namespaceNameLabel : of === 'pod' && key === serviceAccountKey
  return isGiven ? true : undefined
}
