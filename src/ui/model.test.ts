import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import { ageOf, announcement, groupRoutes, visibleRows, waysOnMap } from './model.ts'
import type { NodeTruth, Picture, Route } from './picture.ts'

const node = (name: string, unreachableFrom: readonly string[] = []): NodeTruth => ({
  name,
  isGateway: true,
  unreachableFrom,
})
const route = (pod: string, more: Partial<Route> = {}): Route => ({
  ...{
    pod,
    node: 'n1',
    policy: 'p',
    destination: '0.0.0.0/0',
    action: 'egress',
    egressIp: '192.0.2.1',
    holder: 'g1',
    path: 'tunnel',
  },
  ...more,
})

test('pods that take the same way are one way', () => {
  const ways = groupRoutes({
    nodes: [node('g1')],
    routes: [route('a'), route('b'), route('a'), route('c', { node: 'n2' })],
  })
  assert.deepEqual(ways.map((way) => [way.node, way.pods, way.isBroken]), [['n1', 2, false], ['n2', 1, false]]) // biome-ignore format: a table
})

for (const [name, broken, given] of [
  ['through a reachable gateway is whole', false, route('a')],
  ['whose gateway another node does not reach is whole', false, route('a', { node: 'n2' })],
  ['through a gateway that its node does not reach is broken', true, route('a', { holder: 'g2' })],
  ['without a holder is broken', true, { ...route('a'), holder: '' }],
  ['of dropped packets is broken', true, route('a', { action: 'drop' })],
] as const)
  test(`a way ${name}`, () => {
    const [way] = groupRoutes({ nodes: [node('g1', []), node('g2', ['n1'])], routes: [given] })
    assert.equal(way?.isBroken, broken)
  })

test('the map says how many ways it leaves out, and keeps broken ones', () => {
  const whole = Array.from({ length: 99 }, (_, index) => route('a', { node: `n${index}`, holder: 'g1' }))
  const excluded: Route = {
    pod: 'e',
    node: 'n1',
    policy: 'p',
    destination: '192.0.2.9/32',
    action: 'exclude',
  }
  const broken = route('z', { node: 'z', action: 'drop' })
  const { shown, left } = waysOnMap(groupRoutes({ nodes: [], routes: [...whole, excluded, broken] }))
  assert.deepEqual([shown.length, left, shown[0]?.node], [60, 40, 'z'])
})

test('every row in sight exists, and few others', () => {
  fc.assert(
    fc.property(
      fc.nat(5000),
      fc.nat(200_000),
      fc.integer({ min: 1, max: 2000 }),
      (total, scrolled, height) => {
        const { first, count } = visibleRows(total, scrolled, height, 33)
        assert.ok(first >= 0 && count >= 0 && first + count <= total && count <= Math.ceil(height / 33) + 16)
        for (let row = Math.floor(scrolled / 33); row < Math.min(total, (scrolled + height) / 33 - 1); row++)
          assert.ok(row >= first && row < first + count)
      },
    ),
  )
})

test('an age has a unit that can be read', () => {
  assert.deepEqual([4, 300, 9000].map((s) => ageOf(new Date(0).toISOString(), s * 1000)), ['4 s', '5 min', '3 h']) // biome-ignore format: a table
})

test('a gateway’s death and return are announced once', () => {
  const picture = (from: readonly string[]) => ({ nodes: [node('g1', from)] }) as unknown as Picture
  assert.equal(announcement(picture([]), picture(['n1'])), 'Gateway g1 is unreachable.')
  assert.equal(announcement(picture(['n1']), picture(['n1', 'n2'])), '')
  assert.equal(announcement(picture(['n1']), picture([])), 'Gateway g1 is reachable again.')
})
