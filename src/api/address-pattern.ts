/*
 * Patterns of addresses and prefixes, for validation rules in CEL. CEL has functions for them (isIP, isCIDR) only since
 * Kubernetes 1.30, and these kinds must work on 1.28. The patterns accept a few malformed addresses. The policy's status then
 * reports them. The patterns have no backslashes, because CEL would need each of them twice.
 */

const octet = '(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
const ipv4 = `(${octet}[.]){3}${octet}`

const group = '[0-9a-fA-F]{1,4}'
/** `::` stands for at least one group: after n groups and `::`, up to 7 - n groups follow. */
const shortened = [1, 2, 3, 4, 5, 6].map((before) => `(${group}:){1,${before}}(:${group}){1,${7 - before}}`)
/** The last two groups may be written as IPv4 (RFC 4291 section 2.2). The number of groups before them is not checked. */
const ipv6 = [
  `(${group}:){7}${group}`,
  ...shortened,
  `(${group}:){1,7}:`,
  `:(:${group}){1,7}`,
  '::',
  `(:|${group}:)(:?${group}:){0,5}:?${ipv4}`,
].join('|')

export const addressPattern = `^(${ipv4}|${ipv6})$`
export const prefixPattern = `^(${ipv4}/(3[0-2]|[12]?[0-9])|(${ipv6})/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))$`
