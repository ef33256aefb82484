import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import { findDevice } from '../../linux/devices.ts'
import { linuxMachine } from '../../linux/machine.ts'
import { Netlink } from '../../linux/netlink.ts'
import { bringUpLoopback } from './loopback.ts'

const skip = privateNamespacesRefused

test('lo of a new namespace is set up, and its addresses are returned', { skip }, () => {
  enterPrivateNamespaces()
  const isUp = (): boolean | undefined => {
    using netlink = new Netlink()
    return findDevice(netlink, 'lo')?.isUp
  }
  assert.equal(isUp(), false)
  for (let times = 0; times < 2; times++)
    assert.deepEqual([...bringUpLoopback(linuxMachine, '/proc/thread-self/ns/net')].sort(), [
      '127.0.0.1/8',
      '::1/128',
    ])
  assert.equal(isUp(), true)
})
