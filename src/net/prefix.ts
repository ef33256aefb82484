/** A CIDR prefix in canonical form, host bits zero: `172.18.0.0/16`, `fc00::/7`. Only parsePrefix makes one. */
export type Prefix = string & { readonly __brand: 'Prefix' }
