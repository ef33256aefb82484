import { addressToBigint } from '../../net/address.ts'
import { familyOfPrefix, type Prefix, prefixAddress, prefixLength128 } from '../../net/prefix.ts'
import type { Allowance } from './network-policies.ts'
import { type AllowedPorts, keyOfPorts, uniteAllowed } from './network-ports.ts'

/** What begins and ends at a prefix: numbers of allowances. */
interface Mark {
  readonly prefix: Prefix
  readonly first: bigint
  readonly last: bigint
  readonly begins: number[]
  readonly ends: number[]
}

interface Open {
  readonly last: bigint
  readonly holding: ReadonlySet<number>
  readonly key: string
}

/**
 * What any of the allowances allows, by prefix. The longest prefix of an address says all of it: shorter ones and exceptions
 * are worked in. A prefix that says the same as the one around it is left out. Those of all addresses of a family are always
 * there.
 */
export function allowedByPrefix(allowances: readonly Allowance[]): ReadonlyMap<Prefix, AllowedPorts> {
  const marks = markPrefixes(allowances)
  return new Map([...sweep(marks, allowances, 4), ...sweep(marks, allowances, 6)])
}

function markPrefixes(allowances: readonly Allowance[]): readonly Mark[] {
  const marks = new Map<Prefix, Mark>()
  const mark = (prefix: Prefix): Mark => {
    const known = marks.get(prefix) ?? newMark(prefix)
    marks.set(prefix, known)
    return known
  }
  mark('0.0.0.0/0' as Prefix)
  mark('::/0' as Prefix)
  for (const [index, { cidr, except }] of allowances.entries()) {
    mark(cidr).begins.push(index)
    for (const hole of except) mark(hole).ends.push(index)
  }
  return [...marks.values()]
}

function newMark(prefix: Prefix): Mark {
  const first = addressToBigint(prefixAddress(prefix))
  const last = first + (1n << BigInt(128 - prefixLength128(prefix))) - 1n
  return { prefix, first, last, begins: [], ends: [] }
}

/** From the lowest address up, the shorter prefix first, with the prefixes around the current one on a stack. */
function* sweep(
  marks: readonly Mark[],
  allowances: readonly Allowance[],
  family: 4 | 6,
): Generator<readonly [Prefix, AllowedPorts]> {
  const around: Open[] = []
  const ofFamily = marks.filter(({ prefix }) => familyOfPrefix(prefix) === family)
  const sorted = ofFamily.sort((a, b) => compare(a.first, b.first) || compare(b.last, a.last))
  for (const { prefix, first, last, begins, ends } of sorted) {
    while ((around.at(-1)?.last ?? first) < first) around.pop()
    const outer = around.at(-1)
    const ending = new Set(ends)
    const holding = new Set([...(outer?.holding ?? []), ...begins].filter((index) => !ending.has(index)))
    const allowed = uniteAllowed([...holding].map((index) => allowances[index]?.ports ?? []))
    const key = keyOfPorts(allowed)
    if (outer?.key !== key) yield [prefix, allowed]
    around.push({ last, holding, key })
  }
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0
}
