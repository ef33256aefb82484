import { timestamp } from '../../../runtime/timestamp.ts'
import { type ApiObject, isEqual, isObject, type JsonObject } from '../objects/api-object.ts'
import { trackUpdate } from '../objects/ownership/field-ownership.ts'
import { builtInLists } from '../objects/ownership/list-merging.ts'
import { keyOf, type Store } from '../objects/store.ts'

const resource = 'apiextensions.k8s.io/customresourcedefinitions'
/** A definition is served a moment after it was created. A client that uses it at once gets NotFound. */
const settleAfterMs = 10

interface Names {
  readonly plural?: string
  readonly singular?: string
  readonly shortNames?: readonly string[]
  readonly kind?: string
  readonly listKind?: string
  readonly categories?: readonly string[]
}

interface Condition {
  readonly type: string
  readonly status: string
  readonly lastTransitionTime: string
  readonly reason: string
  readonly message: string
}

/** Accepts the names of definitions, which makes their kinds served. Two definitions of a group cannot have the same. */
export class DefinitionController {
  readonly #store: Store

  constructor(store: Store) {
    this.#store = store
    store.listen((change) => {
      if (change.resource === resource && change.type !== 'DELETED') this.#settleSoon(change.object)
    })
    for (const definition of store.list(resource)) this.#settleSoon(definition)
  }

  #settleSoon(definition: ApiObject): void {
    setTimeout(() => this.#settle(keyOf(definition)), settleAfterMs).unref()
  }

  #settle(key: string): void {
    const definition = this.#store.get(resource, key)
    if (definition === undefined) return
    const status = settledStatus(definition, this.#store.list(resource))
    if (isEqual(status, definition.status)) return
    const settled = { ...definition, status, metadata: { ...definition.metadata } }
    settled.metadata.managedFields = trackUpdate(
      { ...definition, metadata: { name: key }, spec: {} },
      { ...settled, spec: {}, metadata: { name: key } },
      { manager: 'kube-apiserver', subresource: 'status', time: timestamp(Date.now()) },
      builtInLists(),
      definition.metadata.managedFields ?? [],
    )
    this.#store.put(resource, key, settled)
  }
}

export function isEstablished(definition: ApiObject): boolean {
  return conditionsOf(definition).some(({ type, status }) => type === 'Established' && status === 'True')
}

function conditionsOf({ status }: ApiObject): readonly Condition[] {
  return Array.isArray(status?.conditions) ? (status.conditions as Condition[]) : []
}

function settledStatus(definition: ApiObject, all: readonly ApiObject[]): JsonObject {
  const wanted = namesOf(definition.spec?.names)
  const rivals = all
    .filter(
      (each) =>
        each.spec?.group === definition.spec?.group && each.metadata.name !== definition.metadata.name,
    )
    .map(({ status }) => namesOf(status?.acceptedNames))
  const before = namesOf(definition.status?.acceptedNames)
  const conflict = findConflict(wanted, rivals)
  const accepted = acceptNames(wanted, before, rivals)
  const isAccepted = conflict === undefined
  const wasEstablished = isEstablished(definition)
  const known = conditionsOf(definition)
  const conditions = [
    condition(
      known,
      'NamesAccepted',
      isAccepted,
      conflict?.reason ?? 'NoConflicts',
      conflict?.message ?? 'no conflicts found',
    ),
    isAccepted || wasEstablished
      ? condition(known, 'Established', true, 'InitialNamesAccepted', 'the initial names have been accepted')
      : condition(known, 'Established', false, 'NotAccepted', 'not all names are accepted'),
    ...known.filter(({ type }) => !/^(NamesAccepted|Established)$/.test(type)),
  ]
  return { ...definition.status, conditions, acceptedNames: accepted }
}

function namesOf(names: unknown): Names {
  return isObject(names) ? (names as Names) : {}
}

function condition(
  known: readonly Condition[],
  type: string,
  isTrue: boolean,
  reason: string,
  message: string,
): Condition {
  const status = isTrue ? 'True' : 'False'
  const before = known.find((each) => each.type === type)
  const lastTransitionTime = before?.status === status ? before.lastTransitionTime : timestamp(Date.now())
  return { type, status, lastTransitionTime, reason, message }
}

function resourceNamesOf({ plural = '', singular = '', shortNames = [] }: Names): readonly string[] {
  return [plural, singular, ...shortNames].filter((name) => name !== '')
}

function findConflict(
  { plural = '', singular = '', shortNames = [], kind = '', listKind = '' }: Names,
  rivals: readonly Names[],
): { readonly reason: string; readonly message: string } | undefined {
  const [taken, takenKinds] = takenBy(rivals)
  const tries: readonly (readonly [string, readonly string[], ReadonlySet<string>])[] = [
    ['PluralConflict', [plural], taken],
    ['SingularConflict', [singular], taken],
    ['ShortNamesConflict', shortNames, taken],
    ['KindConflict', [kind], takenKinds],
    ['ListKindConflict', [listKind], takenKinds],
  ]
  for (const [reason, names, used] of tries)
    for (const name of names) if (used.has(name)) return { reason, message: `"${name}" is already in use` }
  return undefined
}

function takenBy(rivals: readonly Names[]): readonly [ReadonlySet<string>, ReadonlySet<string>] {
  const kinds = rivals
    .flatMap(({ kind = '', listKind = '' }) => [kind, listKind])
    .filter((name) => name !== '')
  return [new Set(rivals.flatMap(resourceNamesOf)), new Set(kinds)]
}

/** Each name that is free is taken, also where another is not. */
function acceptNames(wanted: Names, before: Names, rivals: readonly Names[]): Names {
  const [taken, takenKinds] = takenBy(rivals)
  const pick = (name: 'plural' | 'singular'): string | undefined =>
    taken.has(wanted[name] ?? '') ? before[name] : wanted[name]
  const pickKind = (name: 'kind' | 'listKind'): string | undefined =>
    takenKinds.has(wanted[name] ?? '') ? before[name] : wanted[name]
  const isFree = (wanted.shortNames ?? []).every((name) => !taken.has(name))
  const shortNames = isFree ? wanted.shortNames : before.shortNames
  const singular = pick('singular')
  const listKind = pickKind('listKind')
  return {
    plural: pick('plural') ?? '',
    ...(singular === undefined ? {} : { singular }),
    ...(shortNames === undefined || shortNames.length === 0 ? {} : { shortNames }),
    kind: pickKind('kind') ?? '',
    ...(listKind === undefined ? {} : { listKind }),
    ...(wanted.categories === undefined || wanted.categories.length === 0
      ? {}
      : { categories: wanted.categories }),
  }
}
