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
 * Remarks about parts of a policy that are likely mistakes, although they can be honoured. Users bring policies from
 * clusters that accepted them, so these are not refused. The status says how they are read.
 */

type Loose = Readonly<Record<string, unknown>>

const isMap = (value: unknown): value is Loose =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const itemsOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

/** Remarks about the spec of either kind. The spec may have any content that an API server accepted. */
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

/** `10.1.2.3/8` is read as 10.0.0.0/8, as it always was. For a pool the remark also says which addresses it gives. */
function hostBitRemarks(field: string, list: unknown): readonly string[] {
  return prefixesOf(list)
    .filter(({ text, prefix }) => parseAddress(text.split('/')[0] ?? '') !== prefixAddress(prefix))
    .map(({ index, text, prefix }) => {
      const first = field === 'egressCIDRs' ? `, and the first address given is ${firstGiven(prefix)}` : ''
      return `${field}[${index}] ${text} means ${prefix}${first}. Write ${prefix}, or the address with ${hostLength(prefix)}.`
    })
}

const hostLength = (prefix: Prefix): string => (familyOfPrefix(prefix) === 6 ? '/128' : '/32')

/**
 * The first address of a pool that can be given. The network's own address cannot, unless the prefix has one or two
 * addresses.
 */
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

/**
 * The schema requires egressGateway even beside egressGateways. Users who know that write a copy of one entry, so a copy
 * gets no remark.
 */
function ignoredGatewayRemarks({ egressGateway, egressGateways }: Loose): readonly string[] {
  const list = itemsOf(egressGateways)
  const isMeant = !isMap(egressGateway) || list.some((each) => isDeepStrictEqual(each, egressGateway))
  if (list.length === 0 || isMeant) return []
  return [
    'egressGateway is ignored, because egressGateways has entries. To use it as well, add it to egressGateways. Otherwise make it a copy of egressGateways[0].',
  ]
}

/** Every selector of a policy, with its field. */
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

/** The syntax that Kubernetes accepts for labels (k8s.io/apimachinery, pkg/api/validate/content). */
const namePart = /^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)$/
const prefixPart = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
/** A label key may have a source in front, which is not part of the key. */
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

/** The label keys that a selector requires. */
function askedKeys(labels: readonly [string, unknown][], requirements: readonly Loose[]): readonly string[] {
  const asked = requirements.filter(({ operator }) => operator === 'In' || operator === 'Exists')
  return [...labels.map(([key]) => key), ...asked.map(({ key }) => key)].filter(
    (key) => typeof key === 'string',
  )
}

/** What a selector selects, by its field: `podSelector`, `namespaceSelector` or `nodeSelector`. */
function ownerOf(field: string): LabelOwner {
  return field.split('.').at(-1)?.replace('Selector', '') as LabelOwner
}
