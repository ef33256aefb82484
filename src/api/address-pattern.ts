/*
 * Addresses and prefixes as patterns, for rules in CEL: functions that read them (isIP, isCIDR) have come with Kubernetes
 * 1.30, and these kinds are for 1.28 and later. What a pattern lets through and no reader can read, the policy's status
 * says. Written without backslashes: CEL would want them twice.
 */

const octet = '(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])'
const ipv4 = `(${octet}[.]){3}${octet}`

const group = '[0-9a-fA-F]{1,4}'
/** `::` stands for one group at least: with n groups before it there are up to 7 - n after. */
const shortened = [1, 2, 3, 4, 5, 6].map((before) => `(${group}:){1,${before}}(:${group}){1,${7 - before}}`)
/** The last two groups may be written as IPv4 (RFC 4291 section 2.2); how many there are before it is not counted here. */
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
