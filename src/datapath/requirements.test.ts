import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { hasConnectionTracking, missingRequirements, missingRights, oldKernel } from './requirements.ts'

test('kernels from 5.12 on are new enough', () => {
  for (const version of ['5.12.0', '5.15.0-91-generic', '6.1.0-18-amd64', '10.0.1', 'unknown'])
    assert.equal(oldKernel(version), undefined)
  for (const version of ['4.19.0-26-amd64', '5.10.0-46-amd64'])
    assert.match(oldKernel(version) ?? '', /kernel .* is too old: upgrade to 5.12 or later/)
})

test('rights are read from the process, CAP_SYS_ADMIN standing in for CAP_BPF', () => {
  const status = (effective: string): string =>
    `Name:\tnode\nCapEff:\t${effective}\nCapBnd:\t000001ffffffffff\n`
  assert.deepEqual(missingRights(status('000001ffffffffff')), [])
  assert.deepEqual(missingRights(status('0000008000001000')), [])
  assert.deepEqual(missingRights(status('0000000000201000')), [])
  assert.equal(missingRights(status('0000000000000000')).length, 2)
  assert.match(missingRights(status('0000000000001000'))[0] ?? '', /CAP_BPF is missing.*run as root/)
  assert.match(missingRights(status('0000008000000000'))[0] ?? '', /CAP_NET_ADMIN is missing/)
})

test('all that is missing is said at once, each with its remedy', () => {
  const missing = missingRequirements('/tmp/nowhere/at/all', '/nowhere.o')
  assert.ok(missing.some((problem) => problem.includes('make build')))
  assert.ok(missing.some((problem) => problem.includes('mount -t bpf bpf /sys/fs/bpf')))
})

test('connection tracking is there if the kernel or its loaded modules describe all of its functions', () => {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-btf-'))
  const describe = (file: string, ...functions: string[]): void =>
    writeFileSync(join(folder, file), `\0int\0${functions.join('\0')}\0`)
  try {
    assert.equal(hasConnectionTracking(folder), false)
    describe('vmlinux', 'bpf_ct_set_nat_infos')
    describe('nf_conntrack', 'bpf_skb_ct_lookup', 'bpf_skb_ct_alloc', 'bpf_ct_insert_entry', 'bpf_ct_release',
      'bpf_ct_set_timeout', 'bpf_ct_change_timeout', 'bpf_ct_change_status') // biome-ignore format: short
    assert.equal(hasConnectionTracking(folder), false, 'kernels before 6.1 cannot translate')
    describe('nf_nat', 'bpf_ct_set_nat_info')
    assert.equal(hasConnectionTracking(folder), true)
  } finally {
    rmSync(folder, { recursive: true })
  }
})
