import { parseAddress } from '../../net/address.ts'
import { UserError } from '../user-error.ts'

/** An address with or without a port, as a user writes it. */
export interface End {
  readonly address: string
  readonly port: number | undefined
}

/** `192.0.2.7`, `192.0.2.7:443`, `2001:db8::7`, `[2001:db8::7]:443`. */
export function parseEnd(text: string, what: string): End {
  const [, bracketed, plain, portText] =
    /^(?:\[([^\]]+)\]|([^:]+|[^[]*:[^[]*:.*?))(?::(\d+))?$/.exec(text) ?? []
  const isBareIpv6 = parseAddress(text) !== undefined
  const address = parseAddress(isBareIpv6 ? text : (bracketed ?? plain ?? ''))
  const port = isBareIpv6 || portText === undefined ? undefined : Number(portText)
  if (address === undefined || (port !== undefined && (port < 1 || port > 65535)))
    throw new UserError(
      `${what}: ${text} is not an address: write, for example, 192.0.2.7:443 or [2001:db8::7]:443`,
      2,
    )
  return { address, port }
}
