import type { KubeObject } from '../../kube/client.ts'

/*
 * What a bug report must not have. Objects are cut down to what is known to be needed; texts, such as logs, are searched for what
 * looks like a secret.
 */

const redacted = 'REDACTED'

const patterns: readonly RegExp[] = [
  /-----BEGIN [A-Z ]+-----[\s\S]*?-----END [A-Z ]+-----/g,
  /* A JSON Web Token, as service accounts have. */
  /eyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g,
  /(?<=\b(?:bearer|basic) )[\w.~+/=-]{4,}/gi,
  /(?<=:\/\/[^\s/:@]*:)[^\s/@]+(?=@)/g,
  /(?<=[\w-]*(?:token|password|passwd|secret|authorization|api[-_]?key|-data)\\?["']?\s*[:=]\s*\\?["']?)(?!REDACTED|(?:bearer|basic) )[^\s"'\\,}&]+/gi,
]

/** The text without what looks like a token, a password, a key or a certificate. */
export function redactText(text: string): string {
  return patterns.reduce((rest, pattern) => rest.replaceAll(pattern, redacted), text)
}

const ownAnnotation = /(^|\.)sallyport\.dev\//

/** Annotations can have anything, `last-applied-configuration` whole objects. Values of environment variables can be secrets. */
export function redactObject<T extends KubeObject>(object: T): unknown {
  const { metadata, ...rest } = object
  const {
    annotations = {},
    managedFields: _,
    ...kept
  } = metadata as typeof metadata & {
    readonly managedFields?: unknown
  }
  const own = Object.entries(annotations).filter(([key]) => ownAnnotation.test(key))
  return withoutEnvironment({ ...rest, metadata: { ...kept, annotations: Object.fromEntries(own) } })
}

function withoutEnvironment(value: unknown, key = ''): unknown {
  if (Array.isArray(value)) {
    if (key === 'env' || key === 'args') return value.map(withoutValue)
    return value.map((each) => withoutEnvironment(each))
  }
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).filter(
    ([name]) => name !== 'annotations' || key === 'metadata' || key === '',
  )
  return Object.fromEntries(entries.map(([name, each]) => [name, withoutEnvironment(each, name)]))
}

function withoutValue(variable: unknown): unknown {
  if (typeof variable !== 'object' || variable === null) return redacted
  return 'value' in variable ? { ...variable, value: redacted } : variable
}
