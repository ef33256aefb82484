const letters = 'bcdfghjklmnpqrstvwxz2456789'

/** Letters and digits that spell no words, as Kubernetes ends the names that it makes. */
export function randomSuffix(): string {
  return [...crypto.getRandomValues(new Uint8Array(5))].map((byte) => letters[byte % letters.length]).join('')
}
