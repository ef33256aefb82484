import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import { openDatapath } from '../../datapath/datapath.ts'
import { clsact } from '../../datapath/hooks/clsact.ts'
import { tcx } from '../../datapath/hooks/tcx.ts'
import { listAddresses } from '../../linux/device-addresses.ts'
import { createVeth, createVxlan, findDevice, setDevice } from '../../linux/devices.ts'
import { putProxiedNeighbour } from '../../linux/neighbours.ts'
import { Netlink } from '../../linux/netlink.ts'
import { readSysctl, reservePorts } from '../../linux/sysctl.ts'
import type { Address } from '../../net/address.ts'
import { HeldAddresses, heldAddressesFile, syncHeldAddresses } from '../failover/held-addresses.ts'
import { cleanUp } from './clean-up.ts'
import { overlayName, reservedPorts } from './node-network.ts'
import { serviceDevices } from './service-device.ts'

test('a node is as it was before an agent ran there, and what is others’ stays', {
  skip: privateNamespacesRefused,
}, async () => {
  const bpffs = enterPrivateNamespaces()
  const stateDirectory = mkdtempSync(join(tmpdir(), 'sallyport-state-'))
  const pinDirectory = join(bpffs, 'sallyport')
  using netlink = new Netlink()
  createVeth(netlink, { name: 'world', peer: { name: 'far' } })
  createVeth(netlink, { name: 'sp0123456789ab', peer: { name: 'pod' } })
  createVeth(netlink, { name: serviceDevices.program, peer: { name: serviceDevices.host } })
  createVxlan(netlink, { name: overlayName, port: 8472 })
  createVxlan(netlink, { name: 'theirs', port: 8473 })
  const world = findDevice(netlink, 'world')?.index ?? 0
  /* A link that is down forgets whom it answers for. */
  for (const index of [world, findDevice(netlink, 'far')?.index ?? 0])
    setDevice(netlink, index, { isUp: true })
  const held = new HeldAddresses(heldAddressesFile(stateDirectory))
  syncHeldAddresses(netlink, new Map([['192.0.2.42' as Address, 'world']]), held)
  putProxiedNeighbour(netlink, { index: world, address: '2001:db8::42' as Address })
  writeFileSync(join(stateDirectory, 'agent.sock'), '')
  const plugins = mkdtempSync(join(tmpdir(), 'sallyport-cni-'))
  const pluginFolders = { binaries: plugins, configuration: plugins }
  for (const name of ['sallyport-cni', '05-sallyport.conflist', '10-theirs.conflist'])
    writeFileSync(join(plugins, name), '')
  reservePorts(30000, 30009, 'somebody else wants them')
  reservePorts(reservedPorts.chained.first, reservedPorts.chained.last, 'pods leave with them')
  {
    await using datapath = openDatapath({ pinDirectory })
    datapath.attach('from_world', world)
  }
  try {
    const place = { ifindex: world, direction: 'ingress' } as const
    const hanging = () => [tcx, clsact].flatMap((kind) => kind.list(place) ?? [])
    assert.equal(hanging().length, 1)

    const places = { pluginFolders, pinDirectory, stateDirectory }
    const done = cleanUp(netlink, places)
    for (const what of [
      'pod devices: 1',
      'devices for Services: 1',
      'egress IPs: 1',
      'proxied neighbours: 1',
      'attached programs: 1',
      'tunnel devices: 1',
    ])
      assert.ok(done.includes(what), `${what} in ${done.join(', ')}`)
    assert.equal(hanging().length, 0)
    assert.equal(existsSync(pinDirectory), false)
    assert.equal(findDevice(netlink, 'sp0123456789ab'), undefined)
    assert.equal(findDevice(netlink, overlayName), undefined)
    assert.notEqual(findDevice(netlink, 'theirs'), undefined)
    assert.ok(!listAddresses(netlink).some(({ address }) => address === '192.0.2.42'))
    assert.equal(readSysctl('net/ipv4/ip_local_reserved_ports'), '30000-30009')
    assert.equal(existsSync(join(stateDirectory, 'agent.sock')), false)

    assert.deepEqual(readdirSync(plugins), ['10-theirs.conflist'])

    assert.deepEqual(cleanUp(netlink, places), [], 'a second time finds nothing')
  } finally {
    for (const folder of [stateDirectory, plugins]) rmSync(folder, { recursive: true })
  }
})
