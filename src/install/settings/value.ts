import { z } from 'zod'
import { type Endpoint, parseEndpoint } from '../../net/endpoint.ts'
import { type PortRange, parsePortRange, regions } from '../../net/ports.ts'
import { type Prefix, parsePrefix } from '../../net/prefix.ts'
import { parseDuration } from './duration.ts'
import type { Setting } from './setting.ts'
import { canonicalJson, type Json, parseJson } from './structured-value.ts'

/**
 * Settings are strings on the command line, in the ConfigMap, and in the files that pods see. Each schema here parses the string of one
 * setting. Its issues begin with the string.
 */

/** The parsed value of a setting. */
export type ValueOf<S extends Setting> = S extends { readonly choices: readonly (infer Choice)[] }
  ? S['kind'] extends 'boolean'
    ? boolean
    : Choice
  : {
      readonly boolean: boolean
      readonly integer: number
      /** In milliseconds. */
      readonly duration: number
      readonly word: string
      readonly path: string
      /** Undefined if it is empty. */
      readonly endpoint: Endpoint | undefined
      readonly list: readonly string[]
      readonly cidrs: readonly Prefix[]
      readonly portRange: PortRange
      readonly portRanges: readonly PortRange[]
      readonly map: Readonly<Record<string, string>>
      readonly object: { readonly [key: string]: Json }
      readonly objects: readonly { readonly [key: string]: Json }[]
    }[S['kind']]

export function valueSchema({ kind, choices, range, isPowerOfTwo, reserved }: Setting): z.ZodType {
  if (choices !== undefined) {
    const choice = z.enum(choices, says(`is not supported: use ${choices.join(', ')}`))
    return kind === 'boolean' ? choice.transform((text) => text === 'true') : choice
  }
  switch (kind) {
    case 'boolean':
      return z.enum(['true', 'false'], says('is neither true nor false')).transform((text) => text === 'true')
    case 'integer':
      return integer(range ?? [0, Number.MAX_SAFE_INTEGER], isPowerOfTwo)
    case 'duration':
      return z
        .string()
        .transform(orIssue(parseDuration, 'is not a duration: write, for example, 500ms, 1s or 2m'))
    case 'word':
      return z.string()
    case 'path':
      return z.string().regex(/^(\/(?!\.\.?(\/|$))[^/\s]+)+$/, says('is not an absolute path'))
    case 'endpoint':
      return z
        .string()
        .refine(
          (text) => text === '' || parseEndpoint(text) !== undefined,
          says('is not an IP address with a port: write, for example, 192.0.2.10:4739'),
        )
        .transform((text) => parseEndpoint(text))
    case 'list':
      return list
    case 'cidrs':
      return list.pipe(z.array(z.string().transform(orIssue(parsePrefix, 'is not a CIDR'))))
    case 'portRange':
      return portRange.refine(
        ({ first, last }) => first >= regions.lease.first && last - first >= minPorts,
        `is not a range of at least ${minPorts} ports from ${regions.lease.first} on`,
      )
    case 'portRanges':
      return list.pipe(z.array(portRange))
    case 'map':
      return json.pipe(map(reserved))
    case 'object':
      return json.pipe(object)
    case 'objects':
      return json.pipe(z.array(object, says('is not a list of objects')))
  }
}

/** An issue: the given string or JSON, and what is wrong with it. */
const says = (what: string) => ({
  error: ({ input }: { readonly input?: unknown }) =>
    `${typeof input === 'string' ? input : canonicalJson(input as Json)} ${what}`,
})

const orIssue =
  <T>(parse: (text: string) => T | undefined, what: string) =>
  (text: string, context: z.RefinementCtx<string>): T => {
    const value = parse(text)
    if (value !== undefined) return value
    context.addIssue(`${text} ${what}`)
    return z.NEVER
  }

const integer = ([min, max]: readonly [number, number], isPowerOfTwo = false) =>
  z
    .string()
    .transform((text) => (/^\d+$/.test(text) ? Number(text) : text))
    .pipe(
      z
        .int(says(`is not a whole number from ${min} to ${max}`))
        .min(min, says(`is not a whole number from ${min} to ${max}`))
        .max(max, says(`is not a whole number from ${min} to ${max}`)),
    )
    .refine((number) => !isPowerOfTwo || Number.isInteger(Math.log2(number)), says('is not a power of two'))

const list = z.string().transform((text) => text.split(/[,\s]+/).filter((item) => item !== ''))

/** With fewer, a cluster of a hundred nodes has no block for each. */
const minPorts = 4096

const portRange = z
  .string()
  .transform(orIssue(parsePortRange, 'is not a port or a range of ports: write, for example, 32768-65535'))

const json = z.string().transform(orIssue(parseJson, 'is not JSON'))

const object = z.record(z.string(), z.json(), says('is not an object'))

const map = (reserved: readonly string[] = []) =>
  z
    .record(
      z.string(),
      z.string({
        error: ({ path }) => `the value of ${String(path?.at(-1))} is not a string: put it in quotes`,
      }),
      says('is not an object'),
    )
    .superRefine((value, context) => {
      for (const key of reserved) if (key in value) context.addIssue(`${key} is reserved for Sallyport`)
    })
