import {
  type LabelOwner,
  labelKey,
  namespaceLabelPrefix,
  namespaceNameLabel,
  podNamespaceKey,
  serviceAccountKey,
} from './label-keys.ts'

/** What to write instead of a key that no pod, namespace or node has. */
interface Remedy {
  readonly pattern: RegExp
  readonly remedy: (match: RegExpExecArray) => string
}

const write = (key: string): string => `Write ${key}.`

const remedies: Readonly<Record<LabelOwner, readonly Remedy[]>> = {
  pod: [
    {
      pattern: /^reserved:/,
      remedy: () => 'A policy selects only pods, and no host-network pods. Remove it.',
    },
    { pattern: /^[a-z0-9-]+:(.+)$/, remedy: ([, label = '']) => write(label) },
    {
      pattern: /^io\.cilium\.k8s\.policy\.cluster$/,
      remedy: () => 'Sallyport knows no cluster names. Remove it.',
    },
    {
      pattern: /^io\.cilium\.k8s\.policy\.(?!serviceaccount$)/,
      remedy: () => write(serviceAccountKey),
    },
    {
      pattern: /^io\.cilium\.k8s\.namespace\.(?!labels\..)[^.]*\.?(.*)$/,
      remedy: ([, label]) => write(`${namespaceLabelPrefix}${label || 'NAME'}`),
    },
    { pattern: /^io\.kubernetes\.pod\./, remedy: () => write(podNamespaceKey) },
    { pattern: /^kubernetes\.io\/metadata\.name$/, remedy: () => write(podNamespaceKey) },
    {
      pattern: /^(kubernetes\.io\/hostname|topology\.kubernetes\.io\/(zone|region))$/,
      remedy: () => 'Nodes have it: move it to nodeSelector.',
    },
  ],
  namespace: [
    { pattern: /^io\.kubernetes\.pod\.namespace$/, remedy: () => write(namespaceNameLabel) },
    { pattern: /^io\.cilium\.k8s\.namespace\.labels\.(.+)$/, remedy: ([, label = '']) => write(label) },
    { pattern: /^[a-z0-9-]+:(.+)$/, remedy: ([, label = '']) => write(label) },
  ],
  node: [{ pattern: /^[a-z0-9-]+:(.+)$/, remedy: ([, label = '']) => write(label) }],
}

/** A remark about a key that a selector requires, if no pod, namespace or node can have a label with this key. */
export function keyRemark(field: string, owner: LabelOwner, written: string): string | undefined {
  const { of, key } = labelKey(owner, written)
  if (of !== owner) return undefined
  for (const { pattern, remedy } of remedies[owner]) {
    const match = pattern.exec(key)
    if (match !== null)
      return `${field} has the key ${JSON.stringify(written)}, which no ${owner} has. ${remedy(match)}`
  }
  return undefined
}
