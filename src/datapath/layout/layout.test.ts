import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { test } from 'node:test'
import { defaultObjectFile } from '../datapath.ts'
import { dropCodec, flowEndCodec } from '../tables/observation-tables.ts'
import { tableCodecs } from '../tables/table-codecs.ts'
import { readBtf } from './btf.ts'

const skip = existsSync(defaultObjectFile) ? false : 'the datapath is not compiled: make build'

test('every field of every shared struct has a codec of its size', { skip }, () => {
  const btf = readBtf(defaultObjectFile)
  const codecs = tableCodecs(btf)
  for (const [name, { key, value }] of Object.entries(codecs)) {
    const map = btf.maps.get(name)
    assert.ok(map, `map ${name}`)
    assert.equal(key.size, map.key?.size, `key of ${name}`)
    assert.equal(value.size, map.value?.size, `value of ${name}`)
  }
  dropCodec(btf)
  flowEndCodec(btf)
})

test('every map of the object file has codecs', { skip }, () => {
  const btf = readBtf(defaultObjectFile)
  const known = [...Object.keys(tableCodecs(btf)), 'drops', 'flow_ends', 'passages', 'pressures']
  assert.deepEqual([...btf.maps.keys()].toSorted(), known.toSorted())
})

test('the arithmetic of the header holds', { skip }, () => {
  const btf = readBtf(defaultObjectFile)
  assert.equal(btf.constant('PORT_BLOCKS'), 65536 >> btf.constant('PORT_BLOCK_BITS'))
  assert.equal(btf.enumeration('verdict').get('DROP_MALFORMED'), 32)
  assert.equal(btf.maps.get('pods')?.maxEntries, btf.constant('MAX_PODS'))
  assert.equal(btf.maps.get('counters')?.maxEntries, btf.constant('PROGRAMS') * btf.constant('VERDICTS'))
})

test('every knob has a place of its own', { skip }, () => {
  const knobs = [...readBtf(defaultObjectFile).variables('.rodata').values()].toSorted(
    (a, b) => a.offset - b.offset,
  )
  assert.ok(knobs.length > 5)
  for (const [index, { name, offset, type }] of knobs.entries())
    assert.ok(offset + type.size <= (knobs[index + 1]?.offset ?? Number.POSITIVE_INFINITY), name)
})

interface DumpedType {
  readonly kind: string
  readonly name: string
  readonly size: number
  readonly members?: readonly { readonly name: string; readonly bits_offset: number }[]
}

const bpftool = ['/usr/sbin/bpftool', '/usr/bin/bpftool'].find((path) => existsSync(path))

test('bpftool reads the same offsets', {
  skip: skip || (bpftool ? false : 'bpftool is not installed'),
}, () => {
  const btf = readBtf(defaultObjectFile)
  const dumped = JSON.parse(
    execFileSync(bpftool ?? '', ['-j', 'btf', 'dump', 'file', defaultObjectFile], { encoding: 'utf8' }),
  )
  const structs = (dumped.types as DumpedType[]).filter(
    ({ kind, name }) => kind === 'STRUCT' && name !== '(anon)',
  )
  assert.ok(structs.length > 20)
  for (const { name, size, members = [] } of structs.filter(
    ({ name }) => !/^(ip|tcp|udp|icmp|__sk|bpf_)/.test(name),
  )) {
    const ours = btf.struct(name)
    assert.equal(ours.size, size, name)
    assert.deepEqual(
      ours.members.map((member) => [member.name, member.offset * 8]),
      members.map((member) => [member.name, member.bits_offset]),
      name,
    )
  }
})
