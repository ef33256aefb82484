import type { LabelRequirement, LabelSelector } from '../../api/label-selector.ts'
import type { Labels } from '../world.ts'
import { type LabelOwner, labelKey, presenceOf } from './label-keys.ts'
import { type LabelTest, meets, requirementsOf } from './select.ts'

/** The labels that decide whether a policy selects a pod. */
export type Subject = Readonly<Record<LabelOwner, Labels>>

/** The selectors of one entry. A pod must match all of them. A missing selector matches everything. */
export type Selectors = Readonly<Partial<Record<LabelOwner, LabelSelector>>>

/** One entry of a policy's selectors. */
export interface PodSelection {
  readonly selects: (subject: Subject) => boolean
  /** What the entry requires and the subject does not meet. For people. */
  readonly unmet: (subject: Subject) => readonly Unmet[]
  /** The constraint for each label. Undefined if the entry contradicts itself, so that it selects no pod. */
  readonly constraints: Constraints | undefined
}

/** A requirement, and the label that does not meet it. */
export interface Unmet {
  readonly of: LabelOwner
  readonly key: string
  readonly operator: LabelRequirement['operator']
  readonly values: readonly string[]
  /** Undefined if there is no such label. */
  readonly actual: string | undefined
}

type Constraints = ReadonlyMap<string, Constraint>

/** All that an entry requires of one label. */
interface Constraint {
  /** Undefined if the label may be present or absent. */
  readonly isPresent: boolean | undefined
  /** Undefined if every value is allowed that is not forbidden. */
  readonly allowed: ReadonlySet<string> | undefined
  /** Values that the label must not have, if it is present. */
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
  const unmet = (subject: Subject): readonly Unmet[] =>
    asked
      .filter((_, index) => !tests[index]?.(subject))
      .map(({ of, key, requirement: { operator, values = [] } }) => ({
        ...{ of, key, operator, values },
        actual: subject[of][key],
      }))
  const constraints = new Map<string, Constraint>()
  for (const { of, key, requirement } of asked) {
    const name = `${of} ${key}`
    const known = constraints.get(name) ?? {
      isPresent: presenceOf({ of, key }),
      allowed: undefined,
      forbidden: none,
    }
    const both = merge(known, constraintOf(requirement))
    if (both === undefined) return { selects: () => false, unmet, constraints: undefined }
    constraints.set(name, both)
  }
  return { selects: (subject) => tests.every((isMet) => isMet(subject)), unmet, constraints }
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

/** Returns undefined if no label meets both constraints. */
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
  /* No list is built here, because this runs for each pair of policies. */
  for (const value of listed) if (admits(a, value) && admits(b, value)) return true
  return false
}

function admits({ allowed, forbidden }: Constraint, value: string): boolean {
  return (allowed === undefined || allowed.has(value)) && !forbidden.has(value)
}

/**
 * Whether a pod can exist that both policies select. The answer is exact for labels that any pod, namespace or node may
 * have. Labels are independent of each other, so two entries exclude each other only if no label value meets both.
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
