/** The name of the EgressAddress of an IP address. A name must not begin or end with a dash, so an x is added there. */
export function egressAddressName(address: string): string {
  return address.replaceAll(/[.:]/g, '-').replace(/^-/, 'x-').replace(/-$/, '-x')
}
