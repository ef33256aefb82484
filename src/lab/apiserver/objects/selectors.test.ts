import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ApiObject } from './api-object.ts'
import { parseFieldSelector, parseLabelSelector } from './selectors.ts'

const pod: ApiObject = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'xwing', namespace: 'default', labels: { org: 'alliance', 'egress-gw': '', tier: 'a' } },
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
  ['org=alliance,tier in (a,b),!missing', true],
  ['org=alliance,tier in (b),!missing', false],
]

describe('label selectors', () => {
  for (const [selector, matches] of labels)
    test(`"${selector}" ${matches ? 'matches' : 'does not match'}`, () =>
      assert.equal(parseLabelSelector(selector)(pod), matches))

  for (const selector of ['a b', '=x', 'a in b', 'in (a)('])
    test(`"${selector}" is refused`, () =>
      assert.throws(() => parseLabelSelector(selector), /unable to parse/))
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
      assert.equal(parseFieldSelector(selector, 'Pod')(pod), matches))

  test('a field that a kind cannot be selected by is refused', () =>
    assert.throws(
      () => parseFieldSelector('spec.nodeName=n1', 'Node'),
      /field label not supported: spec\.nodeName/,
    ))
})
