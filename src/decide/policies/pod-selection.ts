import type { LabelSelector } from '../../api/label-selector.ts'
import type { Labels } from '../world.ts'
import { type LabelOwner, labelKey, presenceOf } from './label-keys.ts'
import { type LabelTest, meets, requirementsOf } from './select.ts'

/** The labels that decide whether a policy selects a pod. */
export type Subject = Readonly<Record<LabelOwner, Labels>>

/** The selectors of one entry: all of them together; one that is absent asks for nothing. */
export type Selectors = Readonly<Partial<Record<LabelOwner, LabelSelector>>>

/** One entry of a policy's selectors. */
export interface PodSelection {
  readonly selects: (subject: Subject) => boolean
  /** By label, what it must be; undefined: the entry contradicts itself and selects no pod. */
  readonly constraints: Constraints | undefined
}

type Constraints = ReadonlyMap<string, Constraint>

/** All that an entry asks of one label. */
interface Constraint {
  /** Undefined: the label may be there or not. */
  readonly isPresent: boolean | undefined
  /** Undefined: any but those that are forbidden. */
  readonly allowed: ReadonlySet<string> | undefined
  /** Of a label that is there. */
  readonly forbidden: ReadonlySet<string>
}

export function readPodSelection(selectors: Selectors): PodSelection {
  const asked = (['pod', 'namespace', 'node'] as const).flatMap((owner) =>
    requirementsOf(selectors[owner] ?? {}).map((requirement) => ({
      ...labelKey(owner, requirement.key),
      requirement,
    })),
  )
  const tests = asked.map(({ of, key, requirement }): ((subject: Subject) => boolean) => {
    const isMet: LabelTest = (labels) => meets({ ...requirement, key }, labels)
    return (subject) => isMet(subject[of])
  })
  const constraints = new Map<string, Constraint>()
  for (const { of, key, requirement } of asked) {
    const name = `${of} ${key}`
    const known = constraints.get(name) ?? {
      isPresent: presenceOf({ of, key }),
      allowed: undefined,
      forbidden: none,
    }
    const both = merge(known, constraintOf(requirement))
    if (both === undefined) return { selects: () => false, constraints: undefined }
    constraints.set(name, both)
  }
  return { selects: (subject) => tests.every((isMet) => isMet(subject)), constraints }
}

const none: ReadonlySet<string> = new Set()

function constraintOf({ operator, values = [] }: ReturnType<typeof requirementsOf>[number]): Constraint {
  switch (operator) {
    case 'In':
      return { isPresent: true, allowed: new Set(values), forbidden: none }
    case 'NotIn':
      return { isPresent: undefined, allowed: undefined, forbidden: new Set(values) }
    case 'Exists':
      return { isPresent: true, allowed: undefined, forbidden: none }
    case 'DoesNotExist':
      return { isPresent: false, allowed: undefined, forbidden: none }
  }
}

/** Undefined: nothing is what both ask for. */
function merge(a: Constraint, b: Constraint): Constraint | undefined {
  if (!areCompatible(a, b)) return undefined
  const listed = [a, b].flatMap(({ allowed }) => (allowed === undefined ? [] : [...allowed]))
  const isLimited = a.allowed !== undefined || b.allowed !== undefined
  return {
    isPresent: a.isPresent ?? b.isPresent,
    allowed: isLimited ? new Set(listed.filter((value) => admits(a, value) && admits(b, value))) : undefined,
    forbidden: new Set([...a.forbidden, ...b.forbidden]),
  }
}

/** Without a list of allowed values there is always a value that is not forbidden. */
function areCompatible(a: Constraint, b: Constraint): boolean {
  if (a.isPresent !== undefined && b.isPresent !== undefined && a.isPresent !== b.isPresent) return false
  const listed = a.allowed ?? b.allowed
  if (listed === undefined) return true
  /* Asked for each pair of policies: no list is made for it. */
  for (const value of listed) if (admits(a, value) && admits(b, value)) return true
  return false
}

function admits({ allowed, forbidden }: Constraint, value: string): boolean {
  return (allowed === undefined || allowed.has(value)) && !forbidden.has(value)
}

/**
 * Whether there can be a pod that both policies select: exact for labels that any pod, namespace or node may have. Labels are
 * independent of each other, so two entries exclude each other only where one label cannot be what both ask for.
 */
export function canSelectSamePod(some: readonly PodSelection[], others: readonly PodSelection[]): boolean {
  return some.some((one) => others.some((other) => isSatisfiable(one.constraints, other.constraints)))
}

function isSatisfiable(some: Constraints | undefined, others: Constraints | undefined): boolean {
  if (some === undefined || others === undefined) return false
  for (const [name, one] of some) {
    const other = others.get(name)
    if (other !== undefined && !areCompatible(one, other)) return false
  }
  return true
}
