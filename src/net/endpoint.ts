import { type Address, parseAddress } from './address.ts'

export interface Endpoint {
  readonly address: Address
  readonly port: number
}

/** `192.0.2.7:443`, `[2001:db8::7]:443`. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const [, bracketed, plain, portText] = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text) ?? []
  const address = parseAddress(bracketed ?? plain ?? '')
  const port = Number(portText)
  if (address === undefined || address.includes(':') !== (bracketed !== undefined)) return undefined
  return port >= 1 && port <= 65535 ? { address, port } : undefined
}
