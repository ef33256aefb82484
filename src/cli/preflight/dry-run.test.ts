import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { configMapData } from '../../api/configuration.ts'
import { defaultNames, type Manifest } from '../../api/manifest.ts'
import { renderInstall } from '../../api/manifests.ts'
import { KubeClient } from '../../kube/client.ts'
import { RunningServer } from '../../lab/apiserver/running-server.ts'
import { rehearseInstall } from './dry-run.ts'
import { gatherServiceFacts } from './services.ts'

const server = await RunningServer.open([])
const client = new KubeClient(
  { server: server.url, ca: server.ca, token: () => server.adminToken },
  { userAgent: 'sallyport-test' },
)
after(async () => {
  await client[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
})

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
