import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ApiObject } from '../objects/api-object.ts'
import { builtInKinds } from '../objects/resources.ts'
import { shortDuration } from './cells.ts'
import { readJsonPath, renderTable } from './table.ts'

const second = 1000
const minute = 60 * second
const hour = 60 * minute
const day = 24 * hour

const durations: readonly (readonly [ms: number, text: string])[] = [
  [-5, '0s'],
  [119 * second, '119s'],
  [2 * minute, '2m'],
  [10 * minute - second, '9m59s'],
  [3 * hour - minute, '179m'],
  [3 * hour, '3h'],
  [8 * hour - minute, '7h59m'],
  [48 * hour - minute, '47h'],
  [8 * day - hour, '7d23h'],
  [729 * day, '729d'],
  [730 * day, '2y'],
  [3 * 365 * day + 5 * day, '3y5d'],
]

describe('ages', () => {
  for (const [ms, text] of durations) test(`${ms} ms is ${text}`, () => assert.equal(shortDuration(ms), text))
})

const now = Date.parse('2026-01-01T01:00:00Z')
const creationTimestamp = '2026-01-01T00:00:00Z'

function cellsOf(kind: string, object: object): readonly unknown[] {
  const found = builtInKinds.find((each) => each.kind === kind)
  assert.ok(found)
  const full = { apiVersion: 'v1', kind, metadata: { name: 'x', creationTimestamp }, ...object } as ApiObject
  const { rows } = renderTable(found, [full], {}, 'Metadata', now) as { rows: { cells: unknown[] }[] }
  return rows[0]?.cells ?? []
}

const container = (state: object, more: object = {}): object => ({ name: 'c', ready: true, state, ...more })

describe('rows', () => {
  test('a running pod', () =>
    assert.deepEqual(
      cellsOf('Pod', {
        spec: { containers: [{}, {}], nodeName: 'n1' },
        status: {
          phase: 'Running',
          podIP: '10.0.0.1',
          containerStatuses: [
            container({ running: {} }, { restartCount: 2, lastState: { terminated: { finishedAt: '2026-01-01T00:55:00Z' } } }),
            container({ running: {} }, { ready: false }),
          ],
        },
      }),
      ['x', '1/2', 'Running', '2 (5m ago)', '60m', '10.0.0.1', 'n1', '<none>', '<none>'],
    )) // biome-ignore format: one a line

  test('a pod that cannot start says why', () => {
    const waiting = container({ waiting: { reason: 'CrashLoopBackOff' } })
    assert.equal(cellsOf('Pod', { status: { phase: 'Running', containerStatuses: [waiting] } })[2], 'CrashLoopBackOff')
  }) // biome-ignore format: one a line

  test('a node without a Ready condition is Unknown, with a false one NotReady', () => {
    assert.equal(cellsOf('Node', {})[1], 'Unknown')
    assert.equal(
      cellsOf('Node', { status: { conditions: [{ type: 'Ready', status: 'False' }] } })[1],
      'NotReady',
    )
  })

  test('garbage in a status breaks no list', () => {
    assert.equal(cellsOf('Node', { status: { conditions: [null, 3], addresses: 'x' } })[1], 'Unknown')
    assert.equal(cellsOf('Pod', { spec: { containers: 7 }, status: { containerStatuses: [null] } })[1], '0/0')
  })
})

describe('JSON paths of printer columns', () => {
  const object = {
    spec: { list: [{ name: 'a' }], 'with-dash': 1 },
    status: { conditions: [{ type: 'Ready', status: 'True' }] },
  }
  for (const [path, value] of [
    ['.spec.list[0].name', 'a'],
    ['.spec.with-dash', 1],
    ['.status.conditions[?(@.type=="Ready")].status', 'True'],
    ['.status.conditions[?(@.type=="Gone")].status', undefined],
    ['.no.such.field', undefined],
  ] as const)
    test(path, () => assert.equal(readJsonPath(object, path), value))
})
