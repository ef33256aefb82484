import { isDeepStrictEqual } from 'node:util'
import { parseAddress } from '../../net/address.ts'
import {
  addressAt,
  familyOfPrefix,
  overlaps,
  type Prefix,
  parsePrefix,
  prefixAddress,
  prefixLength,
} from '../../net/prefix.ts'

import { keyRemark } from './key-remarks.ts'
import type { LabelOwner } from './label-keys.ts'

/*
 * What a policy says that is likely a mistake, although it can be honoured. Policies come from clusters where nobody objected to
 * them, so they are not refused: their status says how they are read.
 */

type Loose = Readonly<Record<string, unknown>>

const isMap = (value: unknown): value is Loose =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const itemsOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

/** Of the spec of either kind, whatever an API server let through. */
export function specRemarks(spec: Loose): readonly string[] {
  const lists = ['destinationCIDRs', 'excludedCIDRs', 'egressCIDRs'] as const
  const [destinations, exclusions] = lists.map((field) => prefixesOf(spec[field]))
  return [
    ...lists.flatMap((field) => hostBitRemarks(field, spec[field])),
    ...lists.flatMap((field) => duplicateRemarks(field, spec[field])),
    ...outsideRemarks(destinations ?? [], exclusions ?? []),
    ...ignoredGatewayRemarks(spec),
    ...selectorsOf(spec).flatMap(([field, selector]) => labelRemarks(field, selector)),
  ]
}

interface Read {
  readonly index: number
  readonly text: string
  readonly prefix: Prefix
}

function prefixesOf(list: unknown): readonly Read[] {
  return itemsOf(list).flatMap((text, index) => {
    const prefix = typeof text === 'string' ? parsePrefix(text) : undefined
    return prefix === undefined ? [] : [{ index, text: String(text), prefix }]
  })
}

/** `10.1.2.3/8` is read as 10.0.0.0/8, as it always was. Of a pool that gives other addresses than were written. */
function hostBitRemarks(field: string, list: unknown): readonly string[] {
  return prefixesOf(list)
    .filter(({ text, prefix }) => parseAddress(text.split('/')[0] ?? '') !== prefixAddress(prefix))
    .map(({ index, text, prefix }) => {
      const first = field === 'egressCIDRs' ? `, and the first address given is ${firstGiven(prefix)}` : ''
      return `${field}[${index}] ${text} means ${prefix}${first}. Write ${prefix}, or the address with ${hostLength(prefix)}.`
    })
}

const hostLength = (prefix: Prefix): string => (familyOfPrefix(prefix) === 6 ? '/128' : '/32')

/** A pool's first address is the network's own name, unless it is a pair or a single one. */
function firstGiven(prefix: Prefix): string {
  const isPair = prefixLength(prefix) >= (familyOfPrefix(prefix) === 4 ? 31 : 127)
  return addressAt(prefix, isPair ? 0 : 1)
}

function duplicateRemarks(field: string, list: unknown): readonly string[] {
  const seen = new Map<Prefix, number>()
  return prefixesOf(list).flatMap(({ index, prefix }) => {
    const first = seen.get(prefix)
    if (first === undefined) seen.set(prefix, index)
    return first === undefined
      ? []
      : [`${field}[${index}] repeats ${field}[${first}] ${prefix}. Remove one of them.`]
  })
}

function outsideRemarks(destinations: readonly Read[], exclusions: readonly Read[]): readonly string[] {
  if (destinations.length === 0) return []
  return exclusions
    .filter(({ prefix }) => !destinations.some((each) => overlaps(each.prefix, prefix)))
    .map(
      ({ index, prefix }) =>
        `excludedCIDRs[${index}] ${prefix} is outside destinationCIDRs and excludes nothing. Remove it.`,
    )
}

/** The schema demands egressGateway also beside egressGateways: a copy of an entry is what a user writes who knows that. */
function ignoredGatewayRemarks({ egressGateway, egressGateways }: Loose): readonly string[] {
  const list = itemsOf(egressGateways)
  const isMeant = !isMap(egressGateway) || list.some((each) => isDeepStrictEqual(each, egressGateway))
  if (list.length === 0 || isMeant) return []
  return [
    'egressGateway is ignored, because egressGateways has entries. To use it as well, add it to egressGateways. Otherwise make it a copy of egressGateways[0].',
  ]
}

/** Every selector of a policy with the field that it stands in. */
function selectorsOf({ selectors, egressGateway, egressGateways, egressGroups }: Loose): [string, Loose][] {
  const exits: [string, unknown][] = [
    ['egressGateway', egressGateway],
    ...itemsOf(egressGateways).map((each, index): [string, unknown] => [`egressGateways[${index}]`, each]),
    ...itemsOf(egressGroups).map((each, index): [string, unknown] => [`egressGroups[${index}]`, each]),
  ]
  const holders: [string, unknown][] = [
    ...itemsOf(selectors).map((each, index): [string, unknown] => [`selectors[${index}]`, each]),
    ...exits,
  ]
  return holders.flatMap(([field, holder]) =>
    ['podSelector', 'namespaceSelector', 'nodeSelector'].flatMap((name): [string, Loose][] => {
      const selector = isMap(holder) ? holder[name] : undefined
      return isMap(selector) ? [[`${field}.${name}`, selector]] : []
    }),
  )
}

/** What Kubernetes accepts in an object's labels (k8s.io/apimachinery, pkg/api/validate/content). */
const namePart = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)$/
const prefixPart = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
/** The key of a label may have a source in front, which is not part of it. */
const sourced = /^[a-z0-9-]+:/

function isLabelKey(key: string): boolean {
  const parts = key.replace(sourced, '').split('/')
  const [prefix, name = ''] = parts.length === 1 ? [undefined, parts[0]] : parts
  return parts.length <= 2 && namePart.test(name) && (prefix === undefined || prefixPart.test(prefix))
}

const isLabelValue = (value: string): boolean => value === '' || namePart.test(value)

function labelRemarks(field: string, { matchLabels, matchExpressions }: Loose): readonly string[] {
  const labels = isMap(matchLabels) ? Object.entries(matchLabels) : []
  const requirements = itemsOf(matchExpressions).filter(isMap)
  const keys = [...labels.map(([key]) => key), ...requirements.map(({ key }) => key)]
  const values = [
    ...labels.map(([, value]) => value),
    ...requirements.flatMap(({ values: of }) => itemsOf(of)),
  ]
  const say = (what: string, text: unknown): string =>
    `${field} has the label ${what} ${JSON.stringify(text)}, which no object can have. Correct it.`
  return [
    ...keys.filter((key) => typeof key === 'string' && !isLabelKey(key)).map((key) => say('key', key)),
    ...values
      .filter((each) => typeof each === 'string' && !isLabelValue(each))
      .map((each) => say('value', each)),
    ...askedKeys(labels, requirements).flatMap((key) => keyRemark(field, ownerOf(field), key) ?? []),
  ]
}

/** Keys of labels that must be there. */
function askedKeys(labels: readonly [string, unknown][], requirements: readonly Loose[]): readonly string[] {
  const asked = requirements.filter(({ operator }) => operator === 'In' || operator === 'Exists')
  return [...labels.map(([key]) => key), ...asked.map(({ key }) => key)].filter(
    (key) => typeof key === 'string',
  )
}

/** Whose labels a selector is about: its field ends with `podSelector`, `namespaceSelector` or `nodeSelector`. */
function ownerOf(field: string): LabelOwner {
  return field.split('.').at(-1)?.replace('Selector', '') as LabelOwner
}
