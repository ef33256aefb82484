/** A MAC address as text, six pairs of hexadecimal digits with colons, as six bytes. */
export function macBytes(text: string): Buffer {
  const bytes = Buffer.from(text.replaceAll(':', ''), 'hex')
  if (bytes.length !== 6 || text.length !== 17) throw new Error(`${text} is not a MAC address`)
  return bytes
}

export function macText(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':')
}
