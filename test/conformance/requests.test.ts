import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { renderCrds } from '../../src/api/crd.ts'
import { kinds } from '../../src/api/kinds.ts'
import { applyManifest } from '../../src/cli/install/install.ts'
import type { Manifest } from '../../src/install/manifest.ts'
import type { KubeObject, ResourceName } from '../../src/kube/client.ts'
import { clusterResource, coreResource } from '../../src/kube/cluster-objects.ts'
import { KubeError } from '../../src/kube/kube-error.ts'
import { type GivenCluster, openCluster } from './given-cluster.ts'

/*
 * What Sallyport asks of an API server, asked of the one that E2E_KUBECONFIG names, or of the lab's own: the lab stands for
 * real clusters only where both answer alike. Whatever is made here is taken away again.
 */

interface Policy extends KubeObject {
  readonly spec: Readonly<Record<string, unknown>>
  readonly status?: Readonly<Record<string, unknown>>
}

const policies = clusterResource(kinds.isovalentEgressGatewayPolicy)
const configMaps = coreResource('configmaps', true)
const namespaces = coreResource('namespaces', false)
const definitions: ResourceName = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  isNamespaced: false,
}

const spec = {
  selectors: [{ podSelector: { matchLabels: { app: 'x' } } }],
  destinationCIDRs: ['203.0.113.0/24'],
  egressGroups: [{ nodeSelector: { matchLabels: { gateway: 'true' } } }],
}

const isRefused =
  (code: number, message: RegExp) =>
  (error: unknown): boolean =>
    error instanceof KubeError && error.code === code && message.test(error.message)

describe('an API server', { timeout: 600_000 }, () => {
  let cluster: GivenCluster
  let namespace: string
  let made: Policy[] = []

  before(async () => {
    cluster = await openCluster()
    namespace = `sallyport-conformance-${cluster.suffix}`
    for (const crd of renderCrds() as Manifest[]) await applyManifest(cluster.client, crd)
    for (const { plural, group } of Object.values(kinds)) await untilEstablished(`${plural}.${group}`)
    await cluster.client.resource(namespaces).create({ metadata: { name: namespace } } as KubeObject)
  })
  after(async () => {
    for (const { metadata } of made)
      await cluster.client
        .resource(policies)
        .delete(metadata.name)
        .catch(() => {})
    await cluster.client.resource(namespaces).delete(namespace)
    await cluster.close()
  })

  async function untilEstablished(name: string): Promise<void> {
    for (const end = Date.now() + 30_000; ; await setTimeout(200)) {
      const { status } = (await cluster.client.resource(definitions).get(name)) as KubeObject & {
        readonly status?: { readonly conditions?: readonly { type: string; status: string }[] }
      }
      if (status?.conditions?.some((each) => each.type === 'Established' && each.status === 'True')) return
      assert.ok(Date.now() < end, `${name} is not established`)
    }
  }

  const object = (name: string, changes: object = {}): Policy =>
    ({
      apiVersion: 'isovalent.com/v1',
      kind: 'IsovalentEgressGatewayPolicy',
      metadata: { name: `${name}-${cluster.suffix}` },
      spec: { ...spec, ...changes },
    }) as unknown as Policy
  const create = async (name: string, changes: object = {}): Promise<Policy> => {
    const policy = await cluster.client.resource<Policy>(policies).create(object(name, changes))
    made = [...made, policy]
    return policy
  }
  const word = (name: string, said: string, labels?: Readonly<Record<string, string>>): KubeObject =>
    ({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace, ...(labels === undefined ? {} : { labels }) },
      data: { said },
    }) as unknown as KubeObject

  test('says which kinds it has', async () => {
    const groups = (await cluster.client.json({ method: 'GET', path: '/apis' })) as {
      readonly groups: readonly { readonly name: string }[]
    }
    for (const name of ['apps', 'isovalent.com', 'cilium.io', 'sallyport.dev'])
      assert.ok(
        groups.groups.some((group) => group.name === name),
        name,
      )
    const found = (await cluster.client.json({ method: 'GET', path: '/apis/isovalent.com/v1' })) as {
      readonly resources: readonly { readonly name: string }[]
    }
    const names = found.resources.map(({ name }) => name)
    assert.ok(names.includes(policies.plural) && names.includes(`${policies.plural}/status`), names.join())
    assert.ok(await cluster.client.json({ method: 'GET', path: '/openapi/v3' }))
  })

  test('takes a policy, and counts its generations by its spec alone', async () => {
    const { metadata } = await create('counted')
    const resource = cluster.client.resource<Policy>(policies)
    assert.equal(metadata.generation, 1)
    const relabelled = await resource.patch(metadata.name, 'merge', { metadata: { labels: { a: 'b' } } })
    assert.equal(relabelled.metadata.generation, 1)
    const changed = await resource.patch(metadata.name, 'merge', {
      spec: { excludedCIDRs: ['203.0.113.7/32'] },
    })
    assert.equal(changed.metadata.generation, 2)
    assert.notEqual(changed.metadata.resourceVersion, metadata.resourceVersion)
  })

  for (const [what, changes, message] of [
    ['a destination that is none', { destinationCIDRs: ['203.0.113.0/24', 'nowhere'] }, /failed to parse destination CIDR nowhere/],
    ['no destination', { destinationCIDRs: [] }, /destinationCIDRs can't be empty/],
    ['an excluded prefix that is none', { excludedCIDRs: ['10.0.0.0/33'] }, /failed to parse excluded CIDR 10\.0\.0\.0\/33/],
    ['an egress IP that is none', { egressGroups: [{ nodeSelector: {}, egressIP: '10.0.0.256' }] }, /failed to parse egress IP 10\.0\.0\.256/],
    ['interface and egress IP at once', { egressGroups: [{ nodeSelector: {}, egressIP: '10.0.0.1', interface: 'eth0' }] }, /can't specify both an interface and an egress IP/],
    ['a text where a list belongs', { selectors: 'all' }, /selectors/],
  ] as const) // biome-ignore format: a table
    test(`refuses ${what}, in words`, async () => {
      await assert.rejects(create('refused', changes), isRefused(422, message))
    })

  test('prunes what no schema knows, and says so where it is asked to be strict', async () => {
    const pruned = await create('pruned', { nonsense: true })
    assert.equal(pruned.spec.nonsense, undefined)
    await assert.rejects(
      cluster.client.json({
        method: 'POST',
        path: '/apis/isovalent.com/v1/isovalentegressgatewaypolicies',
        query: { fieldValidation: 'Strict' },
        body: object('strict', { nonsense: true }),
      }),
      isRefused(400, /unknown field "spec.nonsense"/),
    )
  })

  test('keeps spec and status apart', async () => {
    const { metadata } = await create('apart')
    const resource = cluster.client.resource<Policy>(policies)
    const status = { observedGeneration: 1 }
    const told = await resource.patch(
      metadata.name,
      'merge',
      { spec: { selectors: [] }, status },
      { subresource: 'status' },
    )
    assert.deepEqual([told.status, told.spec.selectors], [status, spec.selectors])
    assert.equal(told.metadata.generation, 1)
    const silent = await resource.patch(metadata.name, 'merge', { status: { observedGeneration: 9 } })
    assert.deepEqual(silent.status, status)
  })

  test('refuses a write to an object that has changed meanwhile', async () => {
    const resource = cluster.client.resource<Policy>(policies)
    const read = await create('conflict')
    await resource.patch(read.metadata.name, 'merge', { metadata: { labels: { changed: 'yes' } } })
    await assert.rejects(resource.replace(read), isRefused(409, /has been modified/))
    const stale = { metadata: { resourceVersion: read.metadata.resourceVersion }, status: {} }
    await assert.rejects(
      resource.patch(read.metadata.name, 'merge', stale, { subresource: 'status' }),
      isRefused(409, /has been modified/),
    )
    await assert.rejects(create('conflict'), isRefused(409, /already exists/))
  })

  test('applies for several writers, and refuses what another has', async () => {
    const resource = cluster.client.resource<KubeObject & { readonly data: object }>(configMaps)
    const apply = (said: object, fieldManager: string, force = false) =>
      resource.apply({ ...word('shared', ''), data: said } as never, { fieldManager, force })
    await apply({ one: '1' }, 'first')
    assert.deepEqual((await apply({ two: '2' }, 'second')).data, { one: '1', two: '2' })
    await assert.rejects(apply({ one: '2' }, 'second'), isRefused(409, /conflict.*first/s))
    assert.deepEqual((await apply({ one: '2', two: '2' }, 'second', true)).data, { one: '2', two: '2' })
    assert.deepEqual((await apply({}, 'second')).data ?? {}, {})
  })

  test('patches by JSON pointers, too', async () => {
    const resource = cluster.client.resource<KubeObject & { readonly data: object }>(configMaps)
    await resource.create(word('pointed', 'a') as never)
    const patch = [
      { op: 'test', path: '/data/said', value: 'a' },
      { op: 'add', path: '/data/more', value: 'b' },
    ]
    assert.deepEqual((await resource.patch('pointed', 'json', patch, { namespace })).data, {
      said: 'a',
      more: 'b',
    })
    await assert.rejects(
      resource.patch('pointed', 'json', [{ op: 'remove', path: '/data/none' }], { namespace }),
    )
  })

  test('lists by pages of one moment, by labels and by fields', async () => {
    const resource = cluster.client.resource(configMaps)
    for (let index = 0; index < 25; index++)
      await resource.create(word(`page-${index}`, '', { even: String(index % 2 === 0) }))
    const path = `/api/v1/namespaces/${namespace}/configmaps`
    const names: string[] = []
    let from: string | undefined
    const versions = new Set<string | undefined>()
    do {
      const page = (await cluster.client.json({
        method: 'GET',
        path,
        query: { limit: '10', continue: from },
      })) as {
        readonly metadata: { readonly continue?: string; readonly resourceVersion?: string }
        readonly items: readonly KubeObject[]
      }
      assert.ok(page.items.length <= 10)
      if (from === undefined) await resource.create(word('page-late', ''))
      names.push(...page.items.map(({ metadata }) => metadata.name))
      versions.add(page.metadata.resourceVersion)
      from = page.metadata.continue || undefined
    } while (from !== undefined)
    assert.equal(names.filter((name) => /^page-\d/.test(name)).length, 25)
    assert.equal(versions.size, 1)
    const even = await resource.list({ namespace, labelSelector: 'even=true' })
    assert.equal(even.items.length, 13)
    const one = await resource.list({ namespace, fieldSelector: 'metadata.name=page-3' })
    assert.deepEqual(
      one.items.map(({ metadata }) => metadata.name),
      ['page-3'],
    )
  })

  test('tells who watches of each change in its order, from where the list ended', async () => {
    const resource = cluster.client.resource(configMaps)
    const { metadata } = await resource.list({ namespace })
    await resource.create(word('watched', 'first'))
    await resource.patch('watched', 'merge', { data: { said: 'second' } }, { namespace })
    await resource.delete('watched', { namespace })
    const ended = new AbortController()
    const seen: string[] = []
    const response = await cluster.client.send({
      method: 'GET',
      path: `/api/v1/namespaces/${namespace}/configmaps`,
      query: { watch: 'true', resourceVersion: metadata.resourceVersion, allowWatchBookmarks: 'true' },
      signal: ended.signal,
    })
    try {
      let text = ''
      for await (const chunk of response.body) {
        text += String(chunk)
        const lines = text.split('\n')
        text = lines.pop() ?? ''
        for (const line of lines) {
          const { type, object: of } = JSON.parse(line) as {
            type: string
            object: KubeObject & { data?: { said?: string } }
          }
          if (of.metadata.name === 'watched') seen.push(`${type} ${of.data?.said}`)
        }
        if (seen.length >= 3) break
      }
    } finally {
      ended.abort()
    }
    assert.deepEqual(seen, ['ADDED first', 'MODIFIED second', 'DELETED second'])
  })

  test('prints tables with the columns of our kinds', async () => {
    await create('printed')
    const table = (await cluster.client.json({
      method: 'GET',
      path: '/apis/isovalent.com/v1/isovalentegressgatewaypolicies',
      accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
    })) as { readonly kind: string; readonly columnDefinitions: readonly { readonly name: string }[] }
    assert.equal(table.kind, 'Table')
    assert.equal(table.columnDefinitions[0]?.name, 'Name')
  })

  test('keeps an object with a finalizer until that is gone', async () => {
    const resource = cluster.client.resource(configMaps)
    const finalizers = ['sallyport.dev/conformance']
    const held = word('held', '')
    await resource.create({ ...held, metadata: { ...held.metadata, finalizers } } as KubeObject)
    await resource.delete('held', { namespace })
    assert.ok((await resource.get('held', namespace)).metadata.deletionTimestamp)
    await resource.patch('held', 'merge', { metadata: { finalizers: null } }, { namespace })
    await assert.rejects(resource.get('held', namespace), isRefused(404, /not found/))
  })

  test('makes up names, and tries without doing', async () => {
    const resource = cluster.client.resource(configMaps)
    const unnamed = {
      ...word('', ''),
      metadata: { generateName: 'made-', namespace },
    } as unknown as KubeObject
    const { metadata } = await resource.create(unnamed, { dryRun: true })
    assert.match(metadata.name, /^made-.{5}$/)
    await assert.rejects(resource.get(metadata.name, namespace), isRefused(404, /not found/))
  })
})
