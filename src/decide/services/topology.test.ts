import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { allOf, addressesOf as named, outpost, ready, slice } from '../../../test/support/service-world.ts'
import { world } from '../../../test/support/world-builder.ts'
import type { WorldEndpoint, WorldService } from '../world.ts'

const own = world().self

describe('hints of EndpointSlices', () => {
  const labels = { 'topology.kubernetes.io/zone': 'west' }
  const [first, ...others] = world().nodes
  const webAt = (endpoints: readonly WorldEndpoint[], parts: Partial<WorldService> = {}, nodeLabels = labels) => {
    const nodes = first === undefined ? [] : [{ ...first, labels: { ...first.labels, ...nodeLabels } }, ...others]
    return allOf([{ ...outpost, ...parts }], [slice([], { endpoints })], { nodes })
  } // biome-ignore format: a world
  const at = (...parts: Parameters<typeof webAt>) => {
    const web = webAt(...parts).find(({ port }) => port === 80)
    return [named(web?.endpoints), named(web?.leaving)]
  }

  const west = ready('10.244.1.9', { forZones: ['west'] })
  const east = ready('10.244.2.9', { forZones: ['east', 'north'] })

  test('a client gets endpoints that are for its zone; open flows to others go on', () => {
    assert.deepEqual(at([west, east]), [['10.244.1.9'], ['10.244.2.9']])
  })

  test('all endpoints count if one has no hint, if none is for the zone, or if the node has no zone', () => {
    const all = ['10.244.1.9', '10.244.2.9']
    assert.deepEqual(at([west, ready('10.244.2.9')]), [all, []])
    assert.deepEqual(at([ready('10.244.1.9', { forZones: ['south'] }), east]), [all, []])
    assert.deepEqual(at([west, east], {}, { 'topology.kubernetes.io/zone': undefined } as never), [all, []])
  })

  test('endpoints that are for the client’s node come before those for its zone', () => {
    const here = { ...west, forNodes: [own] }
    const near = ready('10.244.1.10', { forZones: ['west'], forNodes: ['elsewhere'] })
    assert.deepEqual(at([here, near, { ...east, forNodes: ['elsewhere'] }]), [['10.244.1.9'], ['10.244.1.10', '10.244.2.9']]) // biome-ignore format: one row
    assert.deepEqual(at([{ ...west, forNodes: ['elsewhere'] }, near, { ...east, forNodes: ['elsewhere'] }]), [['10.244.1.10', '10.244.1.9'], ['10.244.2.9']]) // biome-ignore format: one row
  })

  test('an endpoint that ends does not make hints count, and gets nothing while another is ready', () => {
    const ending = { ...west, isEnding: true }
    assert.deepEqual(at([ending, east]), [['10.244.2.9'], ['10.244.1.9']])
    assert.deepEqual(at([ending, { ...east, isEnding: true }]), [['10.244.1.9', '10.244.2.9'], []])
  })

  test('with internalTrafficPolicy Local, the endpoints of the node count whatever they are for', () => {
    assert.deepEqual(
      at(
        [
          { ...east, node: own },
          { ...west, node: 'elsewhere' },
        ],
        { isLocal: true },
      ),
      [['10.244.2.9'], []],
    )
  })

  test('a node that moves to another zone gets other endpoints', () => {
    assert.deepEqual(at([west, east], {}, { 'topology.kubernetes.io/zone': 'east' }), [['10.244.2.9'], ['10.244.1.9']]) // biome-ignore format: one row
  })

  test('a client outside gets endpoints that are for the node to which it speaks, and may get any of the endpoint’s node', () => {
    const ports = [{ name: 'http', port: 80, protocol: 'TCP', nodePort: 30080 }]
    const listed = [
      { ...west, node: 'elsewhere' },
      { ...east, node: own },
    ]
    const [found] = webAt(listed, { ports }).filter(({ kind }) => kind === 'NodePort')
    assert.deepEqual(named(found?.endpoints), ['10.244.1.9'])
    assert.deepEqual([found?.clients?.endpointsOf, named(found?.clients?.local)], ['anyNode', ['10.244.2.9']])
  })

  test('a node with externalTrafficPolicy Local gives a client its own endpoints, whatever they are for', () => {
    const ports = [{ name: 'http', port: 80, protocol: 'TCP', nodePort: 30080 }]
    const listed = [
      { ...west, node: own },
      { ...east, node: own },
    ]
    const [found] = webAt(listed, { ports, isLocalForClients: true }).filter(
      ({ kind }) => kind === 'NodePort',
    )
    assert.deepEqual(named(found?.clients?.local), ['10.244.1.9', '10.244.2.9'])
  })
})
