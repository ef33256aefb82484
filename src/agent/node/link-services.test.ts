import assert from 'node:assert/strict'
import { test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import { address, prefix } from '../../../test/support/world-builder.ts'
import type { Tables } from '../../decide/tables.ts'
import { putAddress } from '../../linux/device-addresses.ts'
import { createVeth, findDevice, setDevice } from '../../linux/devices.ts'
import { linuxMachine } from '../../linux/machine.ts'
import { Netlink } from '../../linux/netlink.ts'
import { listPortRules } from '../../linux/port-rules.ts'
import { lookUpRoute } from '../../linux/route-lookup.ts'
import { listRoutes } from '../../linux/routes.ts'
import { listStackRules } from '../../linux/stack-rules.ts'
import { linkServices, syncLinkServices } from './link-services.ts'
import { ensureServiceWire, removeServiceWire } from './service-device.ts'

type Row = Tables['services'][number]

const row = (text: string, kind: Row['kind'], port = 80, protocol = 6): Row => ({
  service: 'default/web',
  kind,
  address: address(text),
  port,
  protocol,
  affinityMs: 0,
  endpoints: [],
  leaving: [],
})

const subnets = ['172.18.0.0/16', 'fc00::/64'].map(prefix)
const cluster: Tables['cluster'] = new Map([[prefix('172.18.0.42/32'), { kind: 'host' }]])
const self: Tables['self'] = {
  tunnelAddress: address('172.18.0.2'),
  masquerade4: undefined,
  masquerade6: undefined,
  slot: 1,
}
const services: Tables['services'] = [
  row('172.18.0.200', 'LoadBalancer'),
  row('172.18.0.201', 'ExternalIPs', 80),
  row('172.18.0.200', 'LoadBalancer', 53, 17),
  row('fc00::200', 'LoadBalancer'),
  row('172.18.0.42', 'ExternalIPs', 443),
  row('203.0.113.9', 'LoadBalancer', 443),
  row('10.96.0.7', 'ClusterIP', 443),
  row('0.0.0.0', 'NodePort', 30080),
]

test('each port of Services at external addresses on a link has a rule, and each address a route in its table', {
  skip: privateNamespacesRefused,
}, () => {
  enterPrivateNamespaces()
  using netlink = new Netlink()
  const podCIDRs = ['10.244.2.0/24', 'fd00:2::/64'].map(prefix)
  const wire = ensureServiceWire(netlink, linuxMachine, { podCIDRs, mtu: 1450 })
  const sync = (rows: Tables['services']): void =>
    syncLinkServices(netlink, wire, linkServices({ services: rows, cluster, self }, subnets, wire, 1450))
  const read = (): string[] =>
    listPortRules(netlink).map(({ family, protocol, port, table }) => {
      const routes = listRoutes(netlink, { family, table }).filter(({ via }) => via !== undefined)
      return `IPv${family} ${protocol}:${port} ${routes.map(({ destination }) => destination).join(' ')}`
    })
  sync(services)
  const made = ['IPv4 6:80 172.18.0.200/32 172.18.0.201/32', 'IPv4 17:53 172.18.0.200/32', 'IPv6 6:80 fc00::200/128'] // biome-ignore format: one row
  assert.deepEqual(read(), made, 'neither addresses of nodes, nor those behind a router')
  sync(services)
  assert.deepEqual(read(), made, 'a second time changes nothing')
  const { routingRules, routingSources } = listStackRules()
  assert.deepEqual([routingRules, routingSources], [0, []], 'the agent does not report its own rules')

  sync(services.slice(1, 2))
  assert.deepEqual(read(), ['IPv4 6:80 172.18.0.201/32'])
  assert.equal(removeServiceWire(netlink), true)
  assert.deepEqual(read(), [])
})

test('a route lookup without ports does not match the rules', { skip: privateNamespacesRefused }, () => {
  enterPrivateNamespaces()
  using netlink = new Netlink()
  createVeth(netlink, { name: 'world', peer: { name: 'far' } })
  const world = findDevice(netlink, 'world')?.index ?? 0
  for (const index of [world, findDevice(netlink, 'far')?.index ?? 0])
    setDevice(netlink, index, { isUp: true })
  putAddress(netlink, { index: world, address: address('172.18.0.2'), prefixLength: 16 })
  const wire = ensureServiceWire(netlink, linuxMachine, { podCIDRs: [prefix('10.244.2.0/24')], mtu: 1450 })
  syncLinkServices(netlink, wire, linkServices({ services, cluster, self }, subnets, wire, 1450))
  assert.equal(lookUpRoute(netlink, { destination: address('172.18.0.200') })?.ifindex, world)
})
