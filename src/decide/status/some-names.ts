const maxNamed = 5

/** The first names, and how many more there are. */
export function someNames(names: readonly string[], separator = ', '): string {
  const more = names.length - maxNamed
  return `${names.slice(0, maxNamed).join(separator)}${more > 0 ? ` and ${more} more` : ''}`
}
