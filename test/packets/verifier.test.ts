import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { programs } from '../../src/datapath/datapath.ts'
import { openNode, skip } from './node-under-test.ts'

/* The kernel refuses a program of which it would have to read more than a million instructions, and other kernels count otherwise. */
const enough = 250_000

test('each program is far from the limit of the verifier', { skip }, () => {
  const modes = [
    {},
    { link_path: 1 },
    { flow_log: 1, link_path: 1 },
    { chained: 1 },
    { chained: 1, own_address_is_shared: 1, link_path: 1 },
    { services_by_stack: 1, link_path: 1 },
    { services_by_stack: 1 },
    { services_by_stack: 1, forward_by_stack: 1 },
    { replaces_kube_proxy: 1 },
    { replaces_kube_proxy: 1, flow_log: 1 },
    { replaces_kube_proxy: 1, forward_by_stack: 1 },
  ]
  for (const knobs of modes) openNode(knobs)
  const read = readdirSync('/proc/self/fdinfo').flatMap(instructionsRead)
  assert.equal(read.length, modes.length * (programs.length + 2), `${read.length} programs are loaded`)
  for (const count of read) assert.ok(count < enough, `${count} instructions`)
})

/** None where the descriptor is not a program's. */
function instructionsRead(fd: string): number[] {
  const [, count] = /^verified_insns:\s*(\d+)$/m.exec(describeDescriptor(fd)) ?? []
  return count === undefined ? [] : [Number(count)]
}

function describeDescriptor(fd: string): string {
  try {
    return readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')
  } catch {
    return '' /* the one that listed them */
  }
}
