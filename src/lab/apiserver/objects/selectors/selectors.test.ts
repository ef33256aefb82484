import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ApiObject } from '../api-object.ts'
import { parseFieldSelector } from './field-selector.ts'
import { parseLabelSelector } from './label-selector.ts'

const pod: ApiObject = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: 'xwing',
    namespace: 'default',
    labels: { org: 'alliance', 'egress-gw': '', tier: 'a', number: '10' },
  },
  spec: { nodeName: 'n1' },
  status: { phase: 'Running' },
}

const labels: readonly (readonly [selector: string, matches: boolean])[] = [
  ['', true],
  ['org=alliance', true],
  ['org==alliance', true],
  ['org = alliance', true],
  ['org=empire', false],
  ['org!=empire', true],
  ['missing!=x', true],
  ['org', true],
  ['missing', false],
  ['!missing', true],
  ['!org', false],
  ['egress-gw=', true],
  ['tier in (a,b)', true],
  ['tier in (b, c)', false],
  ['tier notin (b,c)', true],
  ['missing notin (b)', true],
  ['missing in (b)', false],
  ['tier in ()', false],
  ['number>9', true],
  ['number<9', false],
  ['tier>9', false],
  ['in=x,tier', false],
  ['org=alliance,tier in (a,b),!missing', true],
  ['org=alliance,tier in (b),!missing', false],
]

describe('label selectors', () => {
  for (const [selector, matches] of labels)
    test(`"${selector}" ${matches ? 'matches' : 'does not match'}`, () =>
      assert.equal(parseLabelSelector(selector)(pod), matches))

  for (const selector of ['a b', 'a in b', 'n>x', 'a/b/c=d', `a=${'x'.repeat(64)}`])
    test(`"${selector}" is refused as a requirement`, () =>
      assert.throws(() => parseLabelSelector(selector), /unable to parse requirement: /))

  for (const selector of ['=x', 'in (a)(', 'a=b c', ',', 'a,,'])
    test(`"${selector}" is refused where it goes wrong`, () =>
      assert.throws(() => parseLabelSelector(selector), /found '.+', expected: |found '\(' expected/))
})

const fields: readonly (readonly [selector: string, matches: boolean])[] = [
  ['', true],
  ['metadata.name=xwing', true],
  ['metadata.name!=xwing', false],
  ['spec.nodeName==n1,status.phase!=Failed', true],
  ['spec.nodeName=', false],
  ['spec.hostNetwork=false', true],
]

describe('field selectors', () => {
  for (const [selector, matches] of fields)
    test(`"${selector}" ${matches ? 'matches' : 'does not match'}`, () =>
      assert.equal(parseFieldSelector(selector, 'Pod', false)(pod), matches))

  test('a field that a kind cannot be selected by is refused', () =>
    assert.throws(
      () => parseFieldSelector('spec.nodeName=n1', 'Node', false),
      /field label not supported: spec\.nodeName/,
    ))
})
