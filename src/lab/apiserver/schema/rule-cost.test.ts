import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ApiObject } from '../objects/api-object.ts'
import type { ResourceKind } from '../objects/resources.ts'
import { fillDefaults } from '../objects/writes/defaults.ts'
import { definitionIssues } from './definition-rules.ts'
import { estimateRules } from './rule-cost.ts'
import type { Schema } from './schema.ts'

const text = (maxLength: number): Schema => ({ type: 'string', maxLength })
const list = (maxItems: number, items: Schema): Schema => ({ type: 'array', maxItems, items })
const ruled = (schema: Schema, rule: string): Schema => ({
  ...schema,
  'x-kubernetes-validations': [{ rule }],
})
const costs = (schema: Schema): number[] => estimateRules(schema).map(({ cost }) => cost)

describe('what a rule may cost, in the worst object that its schema allows', () => {
  const cases: readonly { name: string; schema: Schema; expect: readonly number[] }[] = [
    {
      name: 'a pattern: a tenth of the bytes and one, rounded up, times a quarter of the pattern',
      schema: ruled(text(10), "self.matches('^[a-z]+$')"),
      /* The name costs one. */
      expect: [1 + 5 * 2],
    },
    {
      name: 'a rule inside lists: as often as there may be items',
      schema: list(3, list(5, ruled(text(10), "self.matches('^[a-z]+$')"))),
      expect: [3 * 5 * 11],
    },
    {
      name: 'a walk through a list: each step, and three to go on',
      schema: ruled(list(100, text(10)), "self.all(c, c.matches('^[a-z]+$'))"),
      expect: [1 + 100 * (11 + 3) + 10],
    },
    {
      name: 'a text without a bound is as long as a request may be',
      schema: ruled({ type: 'string' }, "self.matches('a')"),
      expect: [1 + 314_573],
    },
    {
      name: 'a comparison: as far as the shorter text goes',
      schema: ruled({ type: 'string' }, "self == 'eleven char'"),
      expect: [1 + 2],
    },
  ]
  for (const { name, schema, expect } of cases) test(name, () => assert.deepEqual(costs(schema), expect))
})

test('a definition that may cost too much is refused, as Kubernetes does', () => {
  const definition = (mostItems: number): ApiObject => {
    const spec = list(mostItems, ruled(text(64), `self.matches('${'a'.repeat(693)}')`))
    const schema = { openAPIV3Schema: { type: 'object', properties: { spec } } }
    return {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: 'widgets.example.com' },
      spec: {
        group: 'example.com',
        scope: 'Cluster',
        names: { kind: 'Widget', plural: 'widgets' },
        versions: [{ name: 'v1', served: true, storage: true, schema }],
      },
    } as unknown as ApiObject
  }
  const issuesOf = (filled: ApiObject) => {
    fillDefaults({ kind: 'CustomResourceDefinition' } as ResourceKind, filled)
    return definitionIssues(filled)
  }
  assert.deepEqual(issuesOf(definition(2048)), [])
  const [issue, ...more] = issuesOf(definition(4096))
  assert.match(issue?.message ?? '', /estimated rule cost exceeds budget by factor of 1\.9x/)
  assert.deepEqual(more, [])
})
