import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { addressFromBytes } from '../../net/address.ts'
import type { StructLayout, TypeLayout } from './btf.ts'
import {
  address,
  array,
  codec,
  flag,
  flags,
  mac,
  named,
  port,
  u8,
  u16,
  u32,
  u64,
  u64Halves,
} from './codec.ts'

const int = (name: string, size: number): TypeLayout => ({ kind: 'int', name, size })
const arrayOf = (element: TypeLayout, length: number): TypeLayout => ({
  kind: 'array',
  size: element.size * length,
  length,
  element,
})
const word = int('__u32', 4)
const addressLayout: StructLayout = {
  kind: 'struct',
  name: 'address',
  size: 16,
  members: [{ name: 'words', offset: 0, type: arrayOf(word, 4) }],
}

function struct(name: string, ...members: readonly (readonly [string, TypeLayout])[]): StructLayout {
  let offset = 0
  const laidOut = members.map(([member, type]) => {
    const at = offset
    offset += type.size
    return { name: member, offset: at, type }
  })
  return { kind: 'struct', name, size: offset, members: laidOut }
}

const everything = struct(
  'everything',
  ['where', addressLayout],
  ['long_number', int('__u64', 8)],
  ['halves', arrayOf(word, 2)],
  ['number', word],
  ['short_number', int('__u16', 2)],
  ['port', int('__be16', 2)],
  ['byte', int('__u8', 1)],
  ['state', int('__u8', 1)],
  ['verdict', word],
  ['is_set', word],
  ['mac', arrayOf(int('__u8', 1), 6)],
  ['list', arrayOf(int('__u16', 2), 3)],
  ['reserved', word],
)
const verdicts = new Map([
  ['PASS', 1],
  ['DROP', 32],
])
const states = new Map([
  ['FIN', 1],
  ['ACKED', 4],
])
const everythingCodec = codec(everything, {
  where: address,
  long_number: u64,
  halves: u64Halves,
  number: u32,
  short_number: u16,
  port,
  byte: u8,
  state: flags(states),
  verdict: named(verdicts),
  is_set: flag,
  mac,
  list: array(u16),
})

const values = fc.record(
  {
    where: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => addressFromBytes(bytes)),
    long_number: fc.bigInt(0n, 2n ** 64n - 1n),
    halves: fc.bigInt(0n, 2n ** 64n - 1n),
    number: fc.nat(2 ** 32 - 1),
    short_number: fc.nat(65535),
    port: fc.nat(65535),
    byte: fc.nat(255),
    state: fc.subarray(['FIN', 'ACKED']),
    verdict: fc.constantFrom('PASS', 'DROP'),
    is_set: fc.boolean(),
    mac: fc
      .uint8Array({ minLength: 6, maxLength: 6 })
      .map((bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':')),
    list: fc.array(fc.nat(65535), { minLength: 3, maxLength: 3 }),
  },
  { noNullPrototype: true },
)

test('what is encoded is decoded to the same value, at any place of a buffer', () => {
  fc.assert(
    fc.property(values, fc.nat(40), (value, at) => {
      const buffer = Buffer.alloc(at + everythingCodec.size, 0xee)
      everythingCodec.encodeInto(buffer, at, value)
      assert.deepEqual(everythingCodec.decode(buffer, at), value)
      assert.ok(buffer.subarray(0, at).every((byte) => byte === 0xee))
    }),
  )
})

test('ports are big endian, numbers little endian, halves low half first, reserved bytes zero', () => {
  const small = struct(
    'small',
    ['port', int('__be16', 2)],
    ['number', int('__u16', 2)],
    ['halves', arrayOf(word, 2)],
    ['reserved', word],
  )
  const bytes = codec(small, { port, number: u16, halves: u64Halves }).encode({
    port: 443,
    number: 443,
    halves: 0x1_0000_0002n,
  })
  assert.equal(bytes.toString('hex'), '01bbbb0102000000' + '0100000000000000')
})

test('a field that the codec forgets is an error', () => {
  assert.throws(() => codec(struct('pod', ['mac', word], ['mtu', word]), { mac: u32 }), /pod has a field mtu/)
})

test('a field that the struct does not have is an error', () => {
  assert.throws(
    () => codec(struct('pod', ['ifindex', word]), { ifindex: u32, mtu: u32 }),
    /pod has no field mtu/,
  )
})

test('a field of another size is an error', () => {
  assert.throws(
    () => codec(struct('pod', ['ifindex', word]), { ifindex: u16 }),
    /pod: field ifindex \(__u32\)/,
  )
})

test('reserved fields and the spin lock go unnamed', () => {
  const lock: StructLayout = { kind: 'struct', name: 'bpf_spin_lock', size: 4, members: [] }
  const layout = struct('mapping', ['lock', lock], ['reserved2', word], ['number', word])
  assert.deepEqual(codec(layout, { number: u32 }).decode(Buffer.alloc(12, 1)), { number: 0x01010101 })
})

test('numbers that do not fit, and names that do not exist, are refused', () => {
  const layout = struct('small', ['byte', int('__u8', 1)], ['verdict', word])
  const small = codec(layout, { byte: u8, verdict: named(verdicts) })
  assert.throws(() => small.encode({ byte: 256, verdict: 'PASS' }), RangeError)
  assert.throws(() => small.encode({ byte: 1, verdict: 'MAYBE' }), /MAYBE is not one of PASS, DROP/)
})
