import assert from 'node:assert/strict'
import { test } from 'node:test'
import { findDevice } from '../datapath/devices.ts'
import { Netlink } from '../datapath/netlink.ts'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../datapath/private-namespaces.ts'
import { bringUpLoopback } from './loopback.ts'

const skip = privateNamespacesRefused

test('lo of a new namespace is down, and up afterwards, with its addresses', { skip }, () => {
  enterPrivateNamespaces()
  const isUp = (): boolean | undefined => {
    using netlink = new Netlink()
    return findDevice(netlink, 'lo')?.isUp
  }
  assert.equal(isUp(), false)
  for (let times = 0; times < 2; times++)
    assert.deepEqual([...bringUpLoopback('/proc/thread-self/ns/net')].sort(), ['127.0.0.1/8', '::1/128'])
  assert.equal(isUp(), true)
})
