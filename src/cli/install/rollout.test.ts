import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { beforeEach, test } from 'node:test'
import { serverUnderTest } from '../../../test/support/server-under-test.ts'
import { configMapData } from '../../install/configuration.ts'
import { defaultNames, type Manifest, namespace } from '../../install/manifest.ts'
import { renderInstall } from '../../install/manifests.ts'
import type { KubeObject, ResourceName } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import type { PodEvent, TroubledPod } from '../trouble/pod-trouble.ts'
import { applyManifest } from './install.ts'
import { despiteAbsentNodes, waitForRollout } from './rollout.ts'

const { client } = await serverUnderTest()

const recorded = JSON.parse(
  readFileSync(new URL('../trouble/recorded-pods.json', import.meta.url), 'utf8'),
) as {
  readonly pods: readonly { readonly pod: TroubledPod; readonly events: readonly PodEvent[] }[]
  readonly nodes: readonly KubeObject[]
}
const apps = (plural: string): ResourceName => ({ group: 'apps', version: 'v1', plural, isNamespaced: true })
const pods = client.resource<KubeObject>(coreResource('pods', true))
const nodes = client.resource<KubeObject>(coreResource('nodes', false))
const daemonSets = client.resource<KubeObject>(apps('daemonsets'))
const manifests = renderInstall(configMapData({}), defaultNames)
const workloads = manifests.filter(({ kind }) => kind === 'DaemonSet' || kind === 'Deployment')
for (const manifest of workloads) await applyManifest(client, manifest)

/** Sets the status that the cluster's controllers would report. */
async function report(plural: string, name: string, counts: object): Promise<void> {
  const workload = client.resource<KubeObject>(apps(plural))
  const { generation } = (await workload.get(name, namespace)).metadata
  const status = { observedGeneration: generation, ...counts }
  await workload.patch(name, 'merge', { status }, { namespace, subresource: 'status' })
}
const reportAgents = (counts: object): Promise<void> => report('daemonsets', 'sallyport', counts)

/** Creates an agent's pod with the recorded status and Events of another pod. */
async function putPod(name: string, nodeName: string, like?: string): Promise<void> {
  const template = (manifests.find(({ kind }) => kind === 'DaemonSet') as Manifest & PodTemplate).spec
    .template
  const { uid } = (
    await pods.create({
      metadata: { name, namespace, ...template.metadata },
      spec: { nodeName, containers: [{ name: 'c', image: 'none' }] },
    } as KubeObject)
  ).metadata
  const source = recorded.pods.find(({ pod }) => pod.metadata.name === like)
  const ready = { conditions: [{ type: 'Ready', status: 'True' }] }
  const status = source?.pod.status ?? ready
  await pods.patch(name, 'merge', { status }, { namespace, subresource: 'status' })
  const events = client.resource<PodEvent>(coreResource('events', true))
  for (const [index, event] of (source?.events ?? []).entries())
    await events.create({
      ...event,
      metadata: { name: `${uid}.${index}`, namespace },
      lastTimestamp: '2026-01-01T00:00:00Z',
      involvedObject: { kind: 'Pod', namespace, name, ...(uid === undefined ? {} : { uid }) },
    } as PodEvent)
}
interface PodTemplate {
  readonly spec: { readonly template: { readonly metadata: object } }
}

async function putNode(name: string, like: KubeObject | undefined): Promise<void> {
  await nodes.create({ metadata: { name } } as KubeObject)
  const { status } = (like ?? { status: { conditions: [{ type: 'Ready', status: 'True' }] } }) as {
    status: object
  }
  await nodes.patch(name, 'merge', { status }, { subresource: 'status' })
}

const intervals = { checkMs: 20, reasonsMs: 50, repeatMs: 400 }

async function roll(
  stallTimeoutMs: number,
): Promise<{ readonly lines: readonly string[]; readonly error: string }> {
  const lines: string[] = []
  const options = { print: (line: string) => void lines.push(line), stallTimeoutMs, intervals }
  const error = await waitForRollout(client, defaultNames, options).then(
    () => '',
    (cause: Error) => cause.message,
  )
  return { lines, error }
}

beforeEach(async () => {
  for (const { metadata } of (await pods.list({ namespace })).items)
    await pods.delete(metadata.name, { namespace, gracePeriodSeconds: 0 })
  for (const { metadata } of (await nodes.list()).items) await nodes.delete(metadata.name)
  await report('deployments', 'sallyport-operator', { replicas: 2, updatedReplicas: 2, availableReplicas: 2 })
})

test('a rollout without progress prints the reason and keeps printing that it waits', async () => {
  await putNode('n1', undefined)
  await putPod('sallyport-1', 'n1', 'no-network')
  await reportAgents({ desiredNumberScheduled: 1, updatedNumberScheduled: 1, numberAvailable: 0 })
  const { lines, error } = await roll(1500)
  assert.match(error, /^the rollout of daemonset\/sallyport makes no progress, for the reasons above/)
  assert.ok(lines.includes('sallyport: 1 of 1 updated, 0 available'), lines.join('\n'))
  const why =
    /^ {2}pod sallyport-1 on n1: container c is waiting: ContainerCreating; FailedCreatePodSandBox: .*failed to find plugin "no-such-plugin"/
  assert.ok(lines.filter((line) => why.test(line)).length > 1, lines.join('\n'))
  assert.ok(lines.some((line) => /\(unchanged for \d+ s\)$/.test(line)))
})

test('a rollout names a NotReady node and ends when the other nodes are done', async () => {
  await putNode('n1', undefined)
  await putNode('n2', recorded.nodes[0])
  await putPod('sallyport-1', 'n1')
  await putPod('sallyport-2', 'n2', 'stays')
  await reportAgents({ desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 0 })
  const waiting = await roll(800)
  assert.match(waiting.error, /makes no progress/)
  const absence = 'node n2 is NotReady (Kubelet stopped posting node status)'
  assert.ok(waiting.lines.includes(`  ${absence}`), waiting.lines.join('\n'))
  await reportAgents({ desiredNumberScheduled: 2, updatedNumberScheduled: 2, numberAvailable: 1 })
  const { lines, error } = await roll(5_000)
  assert.equal(error, '')
  assert.deepEqual(lines.slice(-2), [
    `${absence}. Its agent is updated when the node returns.`,
    'All agents and operators on the other nodes have this version and configuration.',
  ])
})

test('an updated agent on a NotReady node does not make up for an outdated agent on another node', async () => {
  for (const name of ['n1', 'n3']) await putNode(name, undefined)
  await putNode('n2', recorded.nodes[0])
  for (const index of [1, 3]) await putPod(`sallyport-${index}`, `n${index}`)
  await putPod('sallyport-2', 'n2', 'stays')
  /* n1 and n2 have the new one; n3 is available with the old one. */
  await reportAgents({ desiredNumberScheduled: 3, updatedNumberScheduled: 2, numberAvailable: 2 })
  const { error, lines } = await roll(500)
  assert.match(error, /makes no progress/, lines.join('\n'))
})

test('NotReady nodes do not use up maxUnavailable of the rolling update', async () => {
  for (const [absent, expected] of [
    [0, 1],
    [2, 3],
  ] as const) {
    for (const manifest of despiteAbsentNodes(workloads, absent)) await applyManifest(client, manifest)
    const { spec } = (await daemonSets.get('sallyport', namespace)) as KubeObject & {
      readonly spec: { readonly updateStrategy: object }
    }
    assert.deepEqual(spec.updateStrategy, {
      type: 'RollingUpdate',
      rollingUpdate: { maxSurge: 0, maxUnavailable: expected },
    })
  }
})
