import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { addressesOf, parseCached, readResultCache } from './cni-result.ts'

const sandbox = '/run/netns/pod'

/** As the plugins of containernetworking print it. In spec 0.3.1 each address also has a version. */
const ptp = {
  cniVersion: '0.3.1',
  interfaces: [
    { name: 'veth1', mac: '02:00:00:00:00:01' },
    { name: 'eth0', mac: '02:00:00:00:00:02', sandbox },
  ],
  ips: [{ version: '4', interface: 1, address: '10.244.1.5/24', gateway: '10.244.1.1' }],
}
const bridge = {
  cniVersion: '1.0.0',
  interfaces: [{ name: 'cni0' }, { name: 'veth1', sandbox: '' }, { name: 'eth0', sandbox }],
  ips: [
    { interface: 2, address: '10.244.1.5/24' },
    { interface: 2, address: 'FD00:1::5/64' },
  ],
}

describe('the result of the previous plugin', () => {
  test('says which addresses the pod has', () => {
    assert.deepEqual(addressesOf(ptp), ['10.244.1.5'])
    assert.deepEqual(addressesOf(bridge), ['10.244.1.5', 'fd00:1::5'])
  })

  test('may have addresses without an interface', () => {
    assert.deepEqual(addressesOf({ ips: [{ address: '192.168.7.2/32' }] }), ['192.168.7.2'])
  })

  test('may list addresses of the node, which are not the pod’s', () => {
    const ips = [{ interface: 0, address: '10.244.1.1/24' }, ...bridge.ips]
    assert.deepEqual(addressesOf({ ...bridge, ips }), ['10.244.1.5', 'fd00:1::5'])
  })

  test('may be anything else, and then has no addresses', () => {
    for (const odd of [
      undefined,
      null,
      'x',
      [],
      { ips: 7, interfaces: 'y' },
      { ips: [null, { address: 9 }] },
    ]) {
      assert.deepEqual(addressesOf(odd), [])
    }
  })
})

describe('a result in the runtime’s cache', () => {
  const cached = {
    kind: 'cniCacheV1',
    containerId: 'c1',
    ifName: 'eth0',
    networkName: 'kindnet',
    cniArgs: [
      ['IgnoreUnknown', '1'],
      ['K8S_POD_NAMESPACE', 'default'],
      ['K8S_POD_NAME', 'xwing'],
      ['K8S_POD_UID', 'u1'],
    ],
    result: ptp,
  }

  test('names its container and its pod', () => {
    assert.deepEqual(parseCached(cached), {
      containerId: 'c1',
      interfaceName: 'eth0',
      pod: { namespace: 'default', name: 'xwing', uid: 'u1' },
      netns: sandbox,
      result: ptp,
    })
  })

  test('has the pod’s namespace from the plugin, else from the runtime, else none', () => {
    const result = { interfaces: [{ name: 'cali1' }], ips: ptp.ips }
    assert.equal(parseCached({ ...cached, netns: '/run/netns/other' })?.netns, sandbox)
    assert.equal(parseCached({ ...cached, result, netns: '/run/netns/other' })?.netns, '/run/netns/other')
    assert.equal(parseCached({ ...cached, result })?.netns, undefined)
    assert.equal(parseCached({ ...cached, result: 'x' })?.netns, undefined)
  })

  test('is read if the container is not known yet and the file is complete', () => {
    const directory = mkdtempSync(join(tmpdir(), 'sallyport-results-'))
    try {
      for (const containerId of ['c1', 'c2'])
        writeFileSync(
          join(directory, `kindnet-${containerId}-eth0`),
          JSON.stringify({ ...cached, containerId }),
        )
      writeFileSync(join(directory, 'kindnet-c3-eth0'), '{"kind": "cniCache')
      assert.deepEqual(
        readResultCache(directory, ['c1']).map(({ containerId }) => containerId),
        ['c2'],
      )
    } finally {
      rmSync(directory, { recursive: true })
    }
    assert.deepEqual(readResultCache(directory, []), [], 'a runtime may keep no results')
  })

  test('is skipped if it names no pod or has another kind', () => {
    for (const odd of [{ ...cached, cniArgs: [] }, { ...cached, kind: 'cniCacheV2' }, null, [], 'x'])
      assert.equal(parseCached(odd), undefined)
  })
})
