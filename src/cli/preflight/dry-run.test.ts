import assert from 'node:assert/strict'
import { test } from 'node:test'
import { serverUnderTest } from '../../../test/support/server-under-test.ts'
import { configMapData } from '../../install/configuration.ts'
import { defaultNames, type Manifest } from '../../install/manifest.ts'
import { renderInstall } from '../../install/manifests.ts'
import { dryRunInstall } from './dry-run.ts'
import { gatherServiceFacts } from './services.ts'

const { client } = await serverUnderTest()

test('a dry run names an object that the API server refuses, and checks the others', async () => {
  const manifests = renderInstall(configMapData({}), defaultNames).slice(0, 4)
  const [first] = manifests
  const invalid = {
    ...first,
    spec: { ...(first as Manifest & { spec: object }).spec, scope: 'Sideways' },
  } as Manifest
  const dryRuns = await dryRunInstall(client, [invalid, ...manifests.slice(1)])
  assert.equal(dryRuns.length, 4)
  assert.match(dryRuns[0]?.refusal ?? '', /spec\.scope.*Sideways/)
  assert.deepEqual(
    dryRuns.slice(1).map(({ refusal }) => refusal),
    [undefined, undefined, undefined],
  )
})

test('the range of Services is unknown if the cluster does not reveal it', async () => {
  const { prefixes } = await gatherServiceFacts(client)
  assert.deepEqual(prefixes, [])
})
