import assert from 'node:assert/strict'
import { test } from 'node:test'
import { mountPoints, mountsHolding, propagationOf } from './mounts.ts'

const mounts = [
  '/',
  '/proc',
  '/proc/sys',
  '/sys',
  '/sys/fs/bpf',
  '/sys/fs/bpf/below',
  '/sys/fs/cgroup',
  '/run',
  '/run/netns',
]

test('a folder is in the deepest mount above it', () => {
  assert.deepEqual(mountsHolding(['/sys/fs/bpf', '/run/netnsx', '/home'], mounts), [
    '/sys/fs/bpf',
    '/run',
    '/',
  ])
})

test('every mount but the shared one becomes a slave, a whole tree by one command', () => {
  assert.deepEqual(propagationOf(mounts, ['/sys/fs/bpf']), [
    ['/', 'slave'],
    ['/proc', 'rslave'],
    ['/sys', 'slave'],
    ['/sys/fs/bpf/below', 'rslave'],
    ['/sys/fs/cgroup', 'rslave'],
    ['/run', 'rslave'],
  ])
})

test('the mounts of this process are listed', () => {
  assert.ok(mountPoints().includes('/'))
})
