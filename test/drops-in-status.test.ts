import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { conditionReasons } from '../src/decide/status/conditions.ts'

/*
 * No policy may be Ready while Sallyport drops all its packets. So a row of docs/conditions.md says, for every reason of a drop, which condition
 * of the policy shows it.
 */

const read = (path: string): string => readFileSync(resolve(import.meta.dirname, '..', path), 'utf8')

const [, section = ''] = read('docs/conditions.md').split(/^## Drops$/m)
const rows = [...section.matchAll(/^\| `(DROP_[A-Z_]+)` \| (.*) \|$/gm)].map(
  ([, verdict = '', answer = '']) => ({
    verdict,
    answer,
  }),
)

test('docs/conditions.md says how the status of a policy shows each reason of a drop', () => {
  const verdicts = [...read('bpf/types.h').matchAll(/^\t(DROP_[A-Z_]+)\b/gm)].map(([, name = '']) => name)
  assert.ok(verdicts.length > 20)
  assert.deepEqual(rows.map(({ verdict }) => verdict).sort(), verdicts.sort())
})

test('a drop has a condition or reason of policies that exists, or a sentence that says why it cannot last', () => {
  const known: readonly string[] = [...Object.keys(conditionReasons.policy), ...conditionReasons.policy.Ready]
  for (const { verdict, answer } of rows) {
    const named = [...answer.matchAll(/`(\w+)`/g)].map(([, name = '']) => name)
    if (/^None\. [A-Z].{10,}\.$/.test(answer)) continue
    assert.ok(named.length > 0, `${verdict} has neither`)
    for (const name of named) assert.ok(known.includes(name), `${verdict} names ${name}, which no policy has`)
  }
})
