import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { Registry } from 'prom-client'
import { createMetrics as agentMetrics } from '../src/agent/api/metrics/metrics.ts'
import { Timings } from '../src/agent/timings.ts'
import { createMetrics as operatorMetrics } from '../src/operator/metrics.ts'
import { LoopTimes } from '../src/runtime/metrics/loop-times.ts'

/** Only their names are read here, so nothing is observed. */
const nothing = undefined as never
const registries: readonly Registry[] = [
  agentMetrics(nothing, nothing, new Timings(), nothing),
  operatorMetrics(new LoopTimes([]), nothing),
]

interface Defined {
  readonly name: string
  readonly type: string
  readonly help: string
  readonly labelNames: readonly string[]
}

const isOfProcess = ({ name }: Defined): boolean =>
  /^sallyport_(?:agent|operator)_(?:process|nodejs)_/.test(name)
const defined = registries
  .flatMap((registry) => registry.getMetricsAsArray() as unknown as readonly Defined[])
  .filter((metric) => !isOfProcess(metric))

/** `gauge` or the like is the type of a class of the library. */
const typeOf = (metric: Defined): string => metric.constructor.name.toLowerCase()

test('docs/metrics.md has a row for each metric, with its type and labels, and no others', () => {
  const rows = [
    ...readFileSync('docs/metrics.md', 'utf8').matchAll(/^\| `(sallyport_\w+)` \| (\w+) \| (.*?)\| /gm),
  ]
  const written = rows.map(([, name, type, labels = '']) => `${name} ${type} ${labels.replace(/[`\s]/g, '')}`)
  const known = defined.map((metric) => `${metric.name} ${typeOf(metric)} ${metric.labelNames.join(',')}`)
  assert.deepEqual(written.toSorted(), [...new Set(known)].toSorted())
})

test('metrics have names as Prometheus wants them', () => {
  for (const metric of defined) {
    assert.equal(/_total$/.test(metric.name), typeOf(metric) === 'counter', metric.name)
    assert.doesNotMatch(metric.name, /_(?:ms|milliseconds|ns|kb|mb|percent|count|sum|bucket)$/, metric.name)
    assert.match(metric.help, /\.$/, metric.name)
  }
})
