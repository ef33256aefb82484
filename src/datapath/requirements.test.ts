import assert from 'node:assert/strict'
import { test } from 'node:test'
import { missingRequirements, missingRights, oldKernel } from './requirements.ts'

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
