/** The name of the object for an address. An x stands where a name may not have a dash: at its ends. */
export function egressAddressName(address: string): string {
  return address.replaceAll(/[.:]/g, '-').replace(/^-/, 'x-').replace(/-$/, '-x')
}
