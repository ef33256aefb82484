import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { stringify } from 'yaml'
import { kubectlMissing, RunningServer } from '../../../../test/support/running-server.ts'
import { renderCrds } from '../../../api/crd.ts'
import { defaultNames } from '../../../install/manifest.ts'
import { renderInstall } from '../../../install/manifests.ts'

/** What clients rely on in the answers of a server: refusals, discovery, descriptions, watches, dry runs. */
const skip = kubectlMissing
const bookmarkEveryMs = '50'
let server: RunningServer

before(async () => {
  if (skip) return
  server = await RunningServer.open(['nobody-token,nobody,9'], ['--bookmark-every-ms', bookmarkEveryMs])
  await succeed('apply -f -', renderCrds().map((crd) => stringify(crd)).join('---\n'))
}) // biome-ignore format: one a line
after(async () => await server?.[Symbol.asyncDispose]())

async function succeed(words: string, input = '', token = server.adminToken): Promise<string> {
  const { code, stdout, stderr } = await server.kubectl(words, input, token)
  assert.equal(code, 0, `kubectl ${words}: ${stderr}`)
  return stdout
}

async function fail(words: string, input = ''): Promise<string> {
  const { code, stdout, stderr } = await server.kubectl(words, input)
  assert.notEqual(code, 0, `kubectl ${words} should fail, and says: ${stdout}`)
  return stderr
}

const maps = '/api/v1/namespaces/default/configmaps'
const map = (name: string, data: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name },
  data,
})
const policies = '/apis/cilium.io/v2/ciliumegressgatewaypolicies'
const policy = { apiVersion: 'cilium.io/v2', kind: 'CiliumEgressGatewayPolicy' }
const strict = { 'content-type': 'application/merge-patch+json' }

describe('refusals', { skip }, () => {
  test('all have details, which kubectl debug reads unseen', async () => {
    await server.ask('POST', maps, map('present'))
    const nobody = { authorization: 'Bearer nobody-token' }
    const refusals = [
      { code: 400, is: server.ask('POST', maps, '{') },
      { code: 401, is: server.ask('GET', maps, undefined, { authorization: 'Bearer wrong' }) },
      { code: 403, is: server.ask('GET', maps, undefined, nobody) },
      { code: 404, is: server.ask('GET', `${maps}/absent`) },
      { code: 404, is: server.ask('GET', '/apis/apps/v1/things') },
      { code: 404, is: server.ask('PATCH', '/api/v1/namespaces/default/pods/p/ephemeralcontainers', {}) },
      { code: 405, is: server.ask('PUT', maps, {}) },
      { code: 410, is: server.ask('GET', `${maps}?limit=1&continue=${btoa('{"version":0,"after":"a"}')}`) },
      { code: 413, is: server.ask('POST', maps, 'x'.repeat((3 << 20) + 1)) },
      { code: 415, is: server.ask('PATCH', `${maps}/present`, {}) },
      { code: 422, is: server.ask('POST', policies, { ...policy, metadata: { name: 'p' }, spec: {} }) },
    ]
    for (const { code, is } of refusals) {
      const answer = await is
      assert.equal(answer.code, code, answer.text)
      assert.equal(typeof JSON.parse(answer.text).details, 'object', answer.text)
    }
  })

  test('a debug container is refused in words', async () => {
    await succeed('run watched --image=busybox')
    assert.match(await fail('debug watched --image=busybox --profile=general'), /ephemeral containers are disabled/)
  }) // biome-ignore format: one a line

  test('a kind that its group does not have is named', async () => {
    const wrong = stringify({ apiVersion: 'cilium.io/v2', kind: 'CiliumEgressGateway', metadata: { name: 'a' } })
    assert.match(await fail('apply -f -', wrong), /no matches for kind "CiliumEgressGateway" in version "cilium.io\/v2"/)
  }) // biome-ignore format: one a line

  test('a namespace that is going takes nothing new', async () => {
    const held = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'going', finalizers: ['a/b'] } }
    await server.ask('POST', '/api/v1/namespaces', held)
    await server.ask('DELETE', '/api/v1/namespaces/going')
    const refused = await server.ask('POST', '/api/v1/namespaces/going/configmaps', map('late'))
    assert.equal(refused.code, 403)
    assert.match(
      refused.text,
      /unable to create new content in namespace going because it is being terminated/,
    )
    assert.equal(await succeed('get ns going -o jsonpath={.status.phase}'), 'Terminating')
  })
})

describe('what the server says of itself', { skip }, () => {
  test('api-resources: built-in kinds, those of definitions, and subresources in the newer form', async () => {
    const resources = await succeed('api-resources')
    assert.match(resources, /^ciliumegressgatewaypolicies +cegp +cilium\.io\/v2 +false +CiliumEgressGatewayPolicy$/m)
    assert.match(resources, /^pods +po +v1 +true +Pod$/m)
    assert.match(await succeed('api-resources --namespaced=false --api-group=sallyport.dev -o name'), /^egressaddresses\.sallyport\.dev\negressnodes\.sallyport\.dev\n$/)
    const accept = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList'
    const { items } = JSON.parse((await server.ask('GET', '/api', undefined, { accept })).text)
    const pods = items[0].versions[0].resources.find(({ resource }: { resource: string }) => resource === 'pods')
    assert.ok(pods.subresources.some(({ subresource }: { subresource: string }) => subresource === 'exec'))
  }) // biome-ignore format: one a line

  test('explain describes every field of the policies, and says that it does not describe built-in kinds', async () => {
    for (const [kind, path] of [['cegp', 'cilium.io/v2'], ['iegp', 'isovalent.com/v1']] as const) {
      assert.match(await succeed(`explain ${kind} --recursive`), /destinationCIDRs\t<\[\]string>/)
      const { components } = JSON.parse((await server.ask('GET', `/openapi/v3/apis/${path}`)).text)
      for (const schema of Object.values(components.schemas)) assert.deepEqual(undescribed(schema, kind), [])
    }
    assert.match(await succeed('explain pod.spec'), /does not describe the fields of built-in\s+kinds/)
  }) // biome-ignore format: one a line

  test('wide columns are shown when they are asked for', async () => {
    await succeed('create -f -', stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'far' }, status: { addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] } }))
    assert.doesNotMatch(await succeed('get nodes'), /INTERNAL-IP/)
    assert.match(await succeed('get nodes -o wide'), /INTERNAL-IP.*\n.*192\.0\.2\.1/)
  }) // biome-ignore format: one a line
})

/** Where a schema has fields without a word on them. */
function undescribed(schema: unknown, path: string): string[] {
  const { description, properties = {}, items } = schema as Record<'description' | 'properties' | 'items', object>
  const below = Object.entries(properties).flatMap(([name, field]) => undescribed(field, `${path}.${name}`))
  const own = description === undefined && !path.endsWith('[]') ? [path] : []
  return [...own, ...below, ...(items === undefined ? [] : undescribed(items, `${path}[]`))]
} // biome-ignore format: one a line

describe('watches', { skip }, () => {
  const watch = async (query: string, count: number): Promise<{ type: string; object: never }[]> => {
    const seen: { type: string; object: never }[] = []
    for await (const event of server.watch(`${maps}?watch=1&${query}`, AbortSignal.timeout(10_000))) {
      seen.push(event)
      if (seen.length === count) break
    }
    return seen
  }
  const annotationsOf = ({ object }: { object: { metadata: { annotations?: object } } }): object =>
    object.metadata.annotations ?? {}

  test('a quiet watch has bookmarks, as new as the server', async () => {
    const version = await succeed('create cm marked -o jsonpath={.metadata.resourceVersion}')
    const [event] = await watch(`allowWatchBookmarks=true&resourceVersion=${version}`, 1)
    assert.equal(event?.type, 'BOOKMARK')
    assert.match(JSON.stringify(event), new RegExp(`"resourceVersion":"${version}"`))
  }) // biome-ignore format: one a line

  test('what is there at the beginning ends with a bookmark that says so', async () => {
    const query = 'allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan'
    const { items } = JSON.parse((await server.ask('GET', maps)).text)
    const seen = await watch(query, items.length + 1)
    assert.deepEqual(seen.map(({ type }) => type), [...items.map(() => 'ADDED'), 'BOOKMARK'])
    assert.deepEqual(annotationsOf(seen.at(-1)!), { 'k8s.io/initial-events-end': 'true' })
    const refused = await server.ask('GET', `${maps}?watch=1&sendInitialEvents=true`)
    assert.match(refused.text, /requires setting resourceVersionMatch to NotOlderThan/)
  }) // biome-ignore format: one a line
})

describe('dry runs', { skip }, () => {
  test('a patch, an apply and the deletion of a collection leave everything as it is', async () => {
    await server.ask('POST', maps, map('dry', { a: '1' }))
    const before = (await server.ask('GET', `${maps}/dry`)).text
    const patched = await server.ask('PATCH', `${maps}/dry?dryRun=All`, { data: { a: '2' } }, strict)
    assert.equal(JSON.parse(patched.text).data.a, '2')
    assert.match(await succeed('apply --server-side --force-conflicts --dry-run=server -f -', JSON.stringify(map('dry', { a: '3' }))), /serverside-applied \(server dry run\)/)
    assert.match(await succeed('apply --server-side --dry-run=server -f -', JSON.stringify(map('never'))), /never serverside-applied/)
    assert.equal((await server.ask('DELETE', `${maps}?dryRun=All`)).code, 200)
    assert.equal((await server.ask('GET', `${maps}/dry`)).text, before)
    assert.match(await fail('get cm never'), /NotFound/)
  }) // biome-ignore format: one a line
})

describe('rights', { skip }, () => {
  test('an agent’s token is refused what its role does not give', async () => {
    const rights = renderInstall({}, defaultNames).filter(({ kind }) => /Account|Role/.test(kind))
    await succeed('apply -f -', rights.map((each) => stringify(each)).join('---\n'))
    const token = (await succeed('create token sallyport-agent -n kube-system')).trim()
    const can = async (words: string): Promise<string> => (await server.kubectl(`auth can-i ${words}`, '', token)).stdout.trim()
    assert.equal(await can('watch pods'), 'yes')
    assert.equal(await can('patch egressnodes.sallyport.dev/n --subresource=status'), 'yes')
    for (const refused of ['get secrets -A', 'patch pods', 'create cegp', 'patch egressnodes.sallyport.dev/n', 'patch egressaddresses.sallyport.dev/a', 'create pods --subresource=exec'])
      assert.equal(await can(refused), 'no', refused)
    const headers = { authorization: `Bearer ${token}`, ...strict }
    assert.equal((await server.ask('PATCH', '/apis/sallyport.dev/v1alpha1/egressaddresses/a', { spec: {} }, headers)).code, 403)
    assert.match(await succeed('auth can-i --list', '', token), /egressnodes\.sallyport\.dev\/status +\[\] +\[\] +\[patch\]/)
  }) // biome-ignore format: one a line

  test('of an administrator everything is listed', async () => {
    assert.match(await succeed('auth can-i --list'), /\*\.\* +\[\] +\[\] +\[\*\]/)
  })
})
