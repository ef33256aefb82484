const factors: Readonly<Record<string, number>> = {
  n: 1e-9, u: 1e-6, m: 1e-3, '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18,
  Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60,
} // biome-ignore format: decimal, then binary

/** A quantity such as `500m`, `1.5`, `1e3` or `128Mi` as a number. NaN if the text is not a quantity. */
export function parseQuantity(text: string): number {
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)$/.exec(text)
  if (match === null) return Number.NaN
  const [, digits = '', exponent, suffix = ''] = match
  return Number(digits) * (exponent === undefined ? (factors[suffix] ?? Number.NaN) : 10 ** Number(exponent))
}

const binarySuffixes = ['Ei', 'Pi', 'Ti', 'Gi', 'Mi', 'Ki']
const decimalSuffixes = ['E', 'P', 'T', 'G', 'M', 'k', '']

/** The shortest whole number with a suffix of the same kind, as an API server stores it: `0.5` is `500m`, `1024Mi` is `1Gi`. */
export function canonicalQuantity(text: string): string {
  const value = parseQuantity(text)
  if (!Number.isFinite(value) || value === 0) return value === 0 ? '0' : text
  if (/i$/.test(text)) {
    const suffix = binarySuffixes.find((each) => Number.isInteger(value / (factors[each] ?? 1)))
    return suffix === undefined ? String(value) : `${value / (factors[suffix] ?? 1)}${suffix}`
  }
  const exponent = /[eE]([+-]?\d+)$/.test(text)
  if (exponent) return text
  const suffix = decimalSuffixes.find((each) => Number.isInteger(value / (factors[each] ?? 1)))
  return suffix === undefined ? `${Math.ceil(value * 1000)}m` : `${value / (factors[suffix] ?? 1)}${suffix}`
}
