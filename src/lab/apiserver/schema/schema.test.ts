import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ApiObject } from '../objects/api-object.ts'
import { applyDefaults, prune, type Schema, validate } from './schema.ts'

const object = (spec: object): ApiObject => ({
  apiVersion: 'example.com/v1',
  kind: 'Widget',
  metadata: { name: 'w' },
  spec: spec as never,
})

/** A Widget whose spec has this schema. */
const widget = (spec: Schema): Schema => ({ type: 'object', properties: { spec } })

const messages = (spec: object, schema: Schema, old?: object): string[] =>
  validate(object(spec), old && object(old), widget(schema)).map(
    ({ field, message }) => `${field}: ${message}`,
  )

const text: Schema = { type: 'string' }

/** What kubectl prints after "is invalid:". */
const cases: readonly {
  name: string
  schema: Schema
  spec: object
  says: readonly string[]
}[] = [
  {
    name: 'a missing field',
    schema: { type: 'object', required: ['selectors'], properties: { selectors: { type: 'array' } } },
    spec: {},
    says: ['spec.selectors: Required value'],
  },
  {
    name: 'a value that is none of the allowed ones',
    schema: { type: 'object', properties: { mode: { type: 'string', enum: ['a', 'b'] } } },
    spec: { mode: 'x' },
    says: ['spec.mode: Unsupported value: "x": supported values: "a", "b"'],
  },
  {
    name: 'another type',
    schema: { type: 'object', properties: { list: { type: 'array', items: text } } },
    spec: { list: 'x' },
    says: ['spec.list: Invalid value: "string": spec.list in body must be of type array: "string"'],
  },
  {
    name: 'neither a number nor a text',
    schema: { type: 'object', properties: { port: { 'x-kubernetes-int-or-string': true } } },
    spec: { port: true },
    says: [
      'spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"',
    ],
  },
  {
    name: 'items with the same keys, and values that a set has already',
    schema: {
      type: 'object',
      properties: {
        rules: {
          type: 'array',
          'x-kubernetes-list-type': 'map',
          'x-kubernetes-list-map-keys': ['name'],
        },
        tags: { type: 'array', 'x-kubernetes-list-type': 'set' },
        words: { type: 'array' },
      },
    },
    spec: {
      rules: [{ name: 'a', x: 1 }, { name: 'a', x: 2 }, {}, {}],
      tags: ['b', 'c', 'b'],
      words: ['d', 'd'],
    },
    says: ['spec.rules[1]: Duplicate value: {"name":"a"}', 'spec.tags[2]: Duplicate value: "b"'],
  },
  {
    name: 'an item of another type',
    schema: { type: 'object', properties: { list: { type: 'array', items: text } } },
    spec: { list: ['a', 1] },
    says: ['spec.list[1]: Invalid value: "integer": spec.list[1] in body must be of type string: "integer"'],
  },
  {
    name: 'a number that is too small',
    schema: { type: 'object', properties: { count: { type: 'integer', minimum: 1 } } },
    spec: { count: 0 },
    says: ['spec.count: Invalid value: 0: spec.count in body should be greater than or equal to 1'],
  },
  {
    name: 'a text of another form',
    schema: { type: 'object', properties: { id: { type: 'string', pattern: '^[a-z\\-]+$' } } },
    spec: { id: 'A' },
    says: [`spec.id: Invalid value: "A": spec.id in body should match '^[a-z\\-]+$'`],
  },
  {
    name: 'too many items, and too few',
    schema: {
      type: 'object',
      properties: { many: { type: 'array', maxItems: 1 }, few: { type: 'array', minItems: 1 } },
    },
    spec: { many: [1, 2], few: [] },
    says: [
      'spec.many: Too many: 2: must have at most 1 items',
      'spec.few: Invalid value: 0: spec.few in body should have at least 1 items',
    ],
  },
  {
    name: 'a number or a text, where both are allowed',
    schema: { type: 'object', properties: { port: { 'x-kubernetes-int-or-string': true } } },
    spec: { port: '80%' },
    says: [],
  },
  {
    name: 'a value of a map',
    schema: { type: 'object', additionalProperties: text },
    spec: { a: 'x', b: 2 },
    says: ['spec.b: Invalid value: "integer": spec.b in body must be of type string: "integer"'],
  },
]

describe('validation', () => {
  for (const { name, schema, spec, says } of cases)
    test(name, () => assert.deepEqual(messages(spec, schema), says))
})

describe('rules', () => {
  const rule = (text: string, more: object = {}): Schema => ({
    type: 'object',
    properties: { ip: text_, cidr: text_, size: { type: 'integer' } },
    'x-kubernetes-validations': [{ rule: text, message: 'no', ...more }],
  })
  const text_ = text

  test('a rule that does not hold says its message', () =>
    assert.deepEqual(messages({ size: 3 }, rule('self.size <= 2')), ['spec: Invalid value: no']))

  test('one that holds says nothing', () =>
    assert.deepEqual(messages({ size: 2 }, rule('self.size <= 2')), []))

  test('a message can be computed, and name another field', () =>
    assert.deepEqual(
      messages(
        { size: 3 },
        rule('self.size <= 2', { messageExpression: "'not ' + string(self.size)", fieldPath: '.size' }),
      ),
      ['spec.size: Invalid value: not 3'],
    ))

  test('addresses and prefixes are told from what is none', () => {
    const both = rule('isIP(self.ip) && isCIDR(self.cidr)')
    assert.deepEqual(messages({ ip: '10.0.0.1', cidr: '10.0.0.0/8' }, both), [])
    assert.equal(messages({ ip: '10.0.0.256', cidr: '10.0.0.0/8' }, both).length, 1)
    assert.equal(messages({ ip: '::1', cidr: '10.0.0.0/33' }, both).length, 1)
  })

  test('a rule about the old value waits for one', () => {
    const fixed = rule('self.size == oldSelf.size')
    assert.deepEqual(messages({ size: 1 }, fixed), [])
    assert.deepEqual(messages({ size: 1 }, fixed, { size: 1 }), [])
    assert.equal(messages({ size: 2 }, fixed, { size: 1 }).length, 1)
  })

  test('a rule of the whole object, and one below a map', () => {
    const schema: Schema = {
      type: 'object',
      properties: { spec: { type: 'object', additionalProperties: { type: 'integer', 'x-kubernetes-validations': [{ rule: 'self < 5', message: 'too big' }] } } },
      'x-kubernetes-validations': [{ rule: 'size(self.spec) < 3', message: 'too many' }],
    } // biome-ignore format: one a line
    const says = validate(object({ a: 1, b: 2, c: 9 }), undefined, schema)
    assert.deepEqual(
      says.map(({ field, message }) => `${field}: ${message}`),
      ['<nil>: Invalid value: too many', 'spec.c: Invalid value: 9: too big'],
    )
  })
})

describe('pruning', () => {
  test('removes what the schema does not know, and says what', () => {
    const schema = widget({ type: 'object', properties: { list: { type: 'array', items: { type: 'object', properties: { a: text } } } } })
    const pruned = object({ list: [{ a: 'x', b: 1 }], more: 1 })
    assert.deepEqual(prune(pruned, schema), ['spec.more', 'spec.list[0].b'])
    assert.deepEqual(pruned.spec, { list: [{ a: 'x' }] })
  }) // biome-ignore format: one a line

  test('keeps what the schema leaves open', () => {
    const kept = object({ any: { thing: 1 } })
    assert.deepEqual(
      prune(kept, widget({ type: 'object', 'x-kubernetes-preserve-unknown-fields': true })),
      [],
    )
    assert.deepEqual(kept.spec, { any: { thing: 1 } })
  })
})

describe('defaults', () => {
  test('fill what is absent, below what is there, and null where it is not allowed', () => {
    const below: Schema = { type: 'object', properties: { mode: { type: 'string', default: 'off' } } }
    const schema = widget({ type: 'object', properties: { given: below, absent: below, mode: { type: 'string', default: 'off' } } })
    const filled = object({ given: {}, mode: null })
    applyDefaults(filled, schema)
    assert.deepEqual(filled.spec, { given: { mode: 'off' }, mode: 'off' })
  }) // biome-ignore format: one a line
})
