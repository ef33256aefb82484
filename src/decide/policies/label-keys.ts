/*
 * Label keys in the forms that Cilium accepts and users of these kinds write. A key may have the label's source in front
 * (`k8s:app`, `any:app`). Keys of Cilium's own stand for a pod's namespace and service account.
 */

/** What a label belongs to. */
export type LabelOwner = 'pod' | 'namespace' | 'node'

interface LabelKey {
  readonly of: LabelOwner
  readonly key: string
}

export const namespaceNameLabel = 'kubernetes.io/metadata.name'
/** The key that stands for a pod's service account among its labels. */
export const serviceAccountKey = 'io.cilium.k8s.policy.serviceaccount'
export const podNamespaceKey = 'io.kubernetes.pod.namespace'
export const namespaceLabelPrefix = 'io.cilium.k8s.namespace.labels.'

/** The sources of labels from Kubernetes. All labels here are from Kubernetes. */
const kubernetesSource = /^(k8s|any):/

/** The label that a key means in a selector of pods, namespaces or nodes. */
export function labelKey(selector: LabelOwner, written: string): LabelKey {
  const key = written.replace(kubernetesSource, '')
  if (selector !== 'pod') return { of: selector, key }
  if (key === podNamespaceKey) return { of: 'namespace', key: namespaceNameLabel }
  if (key.startsWith(namespaceLabelPrefix) && key !== namespaceLabelPrefix)
    return { of: 'namespace', key: key.slice(namespaceLabelPrefix.length) }
  return { of: 'pod', key }
}

/**
 * True if the label always exists, false if it never does, undefined otherwise. Every pod has a service account, and every
 * namespace has a name. A key with another source than Kubernetes contains a colon, which no label key does.
 */
export function presenceOf({ of, key }: LabelKey): boolean | undefined {
  if (key.includes(':')) return false
  const isGiven = of === 'namespace' ? key === namespaceNameLabel : of === 'pod' && key === serviceAccountKey
  return isGiven ? true : undefined
}
