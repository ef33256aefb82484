import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serverUnderTest } from '../../../test/support/server-under-test.ts'
import { configMapData } from '../../install/configuration.ts'
import { defaultNames, type Manifest } from '../../install/manifest.ts'
import { renderInstall } from '../../install/manifests.ts'
import { rehearseInstall } from './dry-run.ts'
import { gatherServiceFacts } from './services.ts'

const { client } = await serverUnderTest()

test('an object that the API server refuses is named with its reason, and the others are tried', async () => {
  const manifests = renderInstall(configMapData({}), defaultNames).slice(0, 4)
  const [first] = manifests
  const spoilt = {
    ...first,
    spec: { ...(first as Manifest & { spec: object }).spec, scope: 'Sideways' },
  } as Manifest
  const rehearsals = await rehearseInstall(client, [spoilt, ...manifests.slice(1)])
  assert.equal(rehearsals.length, 4)
  assert.match(rehearsals[0]?.refusal ?? '', /spec\.scope.*Sideways/)
  assert.deepEqual(
    rehearsals.slice(1).map(({ refusal }) => refusal),
    [undefined, undefined, undefined],
  )
})

test('a cluster that tells nothing of its Services leaves the question open', async () => {
  const { prefixes } = await gatherServiceFacts(client)
  assert.deepEqual(prefixes, [])
})
