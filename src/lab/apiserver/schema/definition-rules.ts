import type { FieldIssue } from '../http/status-error.ts'
import { type ApiObject, isObject, type JsonObject } from '../objects/api-object.ts'
import { subdomainRule } from '../objects/rules/object-metadata.ts'
import { forbidden, missing, unsupported, wrong } from './field-issues.ts'
import { versionPartIssues } from './version-parts.ts'

const label = /^[a-z]([-a-z0-9]*[a-z0-9])?$/
const labelRule = `a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')`
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const approval = 'api-approved.kubernetes.io'

/** What is wrong with a CustomResourceDefinition: its schemas are trusted later by all that walks through them. */
export function definitionIssues(definition: ApiObject, live?: ApiObject): FieldIssue[] {
  const { metadata, spec = {}, status = {} } = definition
  const names = isObject(spec.names) ? spec.names : {}
  const versions = (Array.isArray(spec.versions) ? spec.versions : []) as JsonObject[]
  const issues = [
    ...groupIssues(definition),
    ...nameIssues(names),
    ...(!metadata.name || live !== undefined || metadata.name === `${names.plural}.${spec.group}`
      ? []
      : [wrong('metadata.name', metadata.name, 'must be spec.names.plural+"."+spec.group')]),
    ...scopeIssues(spec.scope),
    ...storageIssues(spec.versions, status.storedVersions, live === undefined),
    ...versions.flatMap((version, index) => versionIssues(version, `spec.versions[${index}]`)),
    ...(versions[0] === undefined || !versions[0].name ? [] : labelIssues(versions[0].name, 'spec.version')),
    ...conversionIssues(spec.conversion),
    ...(spec.preserveUnknownFields === true
      ? [
          wrong(
            'spec.preserveUnknownFields',
            true,
            'cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead',
          ),
        ]
      : []),
    ...versionPartIssues(versions),
  ]
  return live === undefined ? issues : [...issues, ...changeIssues(spec, live.spec ?? {}, status)]
}

function groupIssues({ metadata, spec = {} }: ApiObject): FieldIssue[] {
  const { group } = spec
  if (group === undefined || group === '') return [missing('spec.group')]
  if (typeof group !== 'string' || !subdomain.test(group)) return [wrong('spec.group', group, subdomainRule)]
  if (!group.includes('.')) return [wrong('spec.group', group, 'should be a domain with at least one dot')]
  if (!/(^|\.)(k8s|kubernetes)\.io$/.test(group)) return []
  const field = `metadata.annotations[${approval}]`
  const text = metadata.annotations?.[approval]
  const see = 'see https://github.com/kubernetes/enhancements/pull/1111'
  if (text === undefined)
    return [missing(field, `: protected groups must have approval annotation "${approval}", ${see}`)]
  if (text.startsWith('unapproved') || /^https?:\/\//.test(text)) return []
  return [
    wrong(
      field,
      text,
      `protected groups must have approval annotation "${approval}" with either a URL or a reason starting with "unapproved", ${see}`,
    ),
  ]
}

function labelIssues(value: unknown, field: string): FieldIssue[] {
  return typeof value === 'string' && label.test(value) && value.length <= 63
    ? []
    : [wrong(field, value, labelRule)]
}

function nameIssues(names: JsonObject): FieldIssue[] {
  const { kind = '', listKind = '' } = names
  const issues: FieldIssue[] = []
  for (const field of ['plural', 'singular', 'kind', 'listKind']) {
    const value = names[field] ?? ''
    const at = `spec.names.${field}`
    if (value === '') issues.push(missing(at))
    else issues.push(...labelIssues(String(value).toLowerCase(), at).map(() => wrong(at, value, labelRule)))
    if (/^(plural|singular)$/.test(field) && value !== '' && /[A-Z]/.test(String(value)))
      issues.push(wrong(at, value, labelRule))
  }
  for (const field of ['shortNames', 'categories'])
    for (const [index, value] of ((names[field] ?? []) as unknown[]).entries())
      issues.push(...labelIssues(value, `spec.names.${field}[${index}]`))
  if (kind !== '' && kind === listKind)
    issues.push(wrong('spec.names.listKind', listKind, 'kind and listKind may not be the same'))
  return issues
}

function scopeIssues(scope: unknown): FieldIssue[] {
  if (scope === undefined || scope === '') return [missing('spec.scope')]
  const scopes = ['Cluster', 'Namespaced']
  return scopes.includes(String(scope)) ? [] : [unsupported('spec.scope', scope, scopes)]
}

/** `storedVersions` are those of the status, which the server fills in itself when an object is made. */
function storageIssues(versions: unknown, storedVersions: unknown, isNew: boolean): FieldIssue[] {
  const list = (Array.isArray(versions) ? versions : []) as JsonObject[]
  const stored = list.filter(({ storage }) => storage === true).map(({ name }) => String(name))
  const issues: FieldIssue[] = []
  const names = list.map(({ name }) => name)
  const quoted = versions === undefined ? null : list.map(printVersion)
  if (new Set(names).size < names.length)
    issues.push(wrong('spec.versions', quoted, 'must contain unique version names'))
  if (stored.length !== 1)
    issues.push(wrong('spec.versions', quoted, 'must have exactly one version marked as storage version'))
  if (!isNew) return issues
  const known = Array.isArray(storedVersions) ? storedVersions : []
  if (known.length === 0)
    issues.push(wrong('status.storedVersions', null, 'must have at least one stored version'))
  const absent = stored.filter((name) => !known.includes(name)).at(-1)
  if (known.length > 0 && absent !== undefined)
    issues.push(wrong('status.storedVersions', known, `must have the storage version ${absent}`))
  return issues
}

function printVersion({
  name = '',
  served = false,
  storage = false,
  deprecated = false,
}: JsonObject): object {
  return { Name: name, Served: served, Storage: storage, Deprecated: deprecated }
}

function versionIssues({ name, deprecated, deprecationWarning }: JsonObject, field: string): FieldIssue[] {
  const issues = labelIssues(name ?? '', `${field}.name`)
  if (typeof deprecationWarning !== 'string') return issues
  const at = `${field}.deprecationWarning`
  const unprintable = [...deprecationWarning].findIndex((letter) => letter < ' ' || letter === '\u007f')
  if (deprecated !== true)
    issues.push(wrong(at, deprecationWarning, 'can only be set for deprecated versions'))
  if (deprecationWarning === '') issues.push(wrong(at, '', 'must not be an empty string'))
  else if (unprintable >= 0)
    issues.push(
      wrong(
        at,
        deprecationWarning,
        `must only contain printable UTF-8 characters; non-printable character found at index ${unprintable}`,
      ),
    )
  return issues
}

function conversionIssues(conversion: unknown): FieldIssue[] {
  if (!isObject(conversion)) return []
  const { strategy, webhook } = conversion
  const strategies = ['None', 'Webhook']
  const { clientConfig, conversionReviewVersions: reviews } = isObject(webhook) ? webhook : {}
  const [config, versions] = [
    'spec.conversion.webhookClientConfig',
    'spec.conversion.conversionReviewVersions',
  ]
  if (!strategy) return [missing('spec.conversion.strategy')]
  if (!strategies.includes(String(strategy)))
    return [unsupported('spec.conversion.strategy', strategy, strategies)]
  if (strategy === 'None') {
    const why = 'should not be set when strategy is not set to Webhook'
    return [
      ...(clientConfig === undefined ? [] : [forbidden(config, why)]),
      ...(Array.isArray(reviews) && reviews.length > 0 ? [forbidden(versions, why)] : []),
    ]
  }
  const url = isObject(clientConfig) ? String(clientConfig.url ?? '') : ''
  const scheme = /^(\w+):/.exec(url)?.[1]
  return [
    ...(clientConfig === undefined ? [missing(config, ': required when strategy is set to Webhook')] : []),
    ...(scheme === undefined || scheme === 'https'
      ? []
      : [
          wrong(
            `${config}.url`,
            scheme,
            "'https' is the only allowed URL scheme; desired format: https://host[/path]",
          ),
        ]),
    ...(Array.isArray(reviews) && reviews.length > 0 ? [] : [missing(versions)]),
  ]
}

function changeIssues(spec: JsonObject, before: JsonObject, status: JsonObject): FieldIssue[] {
  const names = (of: JsonObject): JsonObject => (isObject(of.names) ? of.names : {})
  const [now, then] = [names(spec), names(before)]
  const kept: readonly (readonly [field: string, value: unknown, before: unknown])[] = [
    ['spec.group', spec.group, before.group],
    ['spec.scope', spec.scope, before.scope],
    ['spec.names.kind', now.kind, then.kind],
    ['spec.names.plural', now.plural, then.plural],
  ]
  const versions = ((spec.versions ?? []) as JsonObject[]).map(({ name }) => name)
  const stored = (Array.isArray(status.storedVersions) ? status.storedVersions : []) as string[]
  return [
    ...kept
      .filter(([, value, old]) => value !== old)
      .map(([field, value]) => wrong(field, value, 'field is immutable')),
    ...stored.flatMap((version, index) =>
      versions.includes(version)
        ? []
        : [
            wrong(
              `status.storedVersions[${index}]`,
              version,
              `missing from spec.versions; ${version} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in ${version} and removes ${version} from status.storedVersions`,
            ),
          ],
    ),
  ]
}
