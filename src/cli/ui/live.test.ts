import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import { test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { Call, KubeClient } from '../../kube/client.ts'
import { Resource } from '../../kube/resource.ts'
import { type Clock, systemClock } from '../../runtime/clock.ts'
import { LiveCluster } from './live.ts'

/** A second is a hundredth of one. */
const quick: Clock = {
  ...systemClock,
  sleep: (ms, signal) => systemClock.sleep(ms / 100, signal),
  after: (ms, run) => systemClock.after(ms / 100, run),
}

const podOf = (node: string) => ({
  metadata: { name: `agent-of-${node}`, namespace: 'kube-system' },
  spec: { nodeName: node, containers: [{ name: 'sallyport-agent' }] },
  status: { phase: 'Running' },
})

/** As an API server with agents on some nodes: the agent of a node that is named in `silent` accepts a question and never answers. */
class FakeApi {
  nodes: readonly string[]
  readonly silent = new Set<string>()
  readonly asked = new Map<string, number>()
  readonly client: KubeClient

  constructor(...nodes: readonly string[]) {
    this.nodes = nodes
    const client = {
      resource: (name: ConstructorParameters<typeof Resource>[1]) => new Resource(client, name),
      json: async ({ path }: Call) => this.#list(path),
      open: ({ signal }: Call) =>
        new Promise((_, reject) => signal?.addEventListener('abort', () => reject(new Error('aborted')))),
      connect: async (path: string) => this.#ask(/agent-of-([^/]+)/.exec(path)?.[1] ?? ''),
    } as unknown as KubeClient
    this.client = client
  }

  #list(path: string) {
    const names = /\/pods/.test(path) ? this.nodes.map(podOf) : []
    const nodes = /\/egressnodes/.test(path) ? this.nodes.map((name) => ({ metadata: { name } })) : []
    return { metadata: { resourceVersion: '1' }, items: [...names, ...nodes] }
  }

  #ask(node: string) {
    this.asked.set(node, (this.asked.get(node) ?? 0) + 1)
    const socket = Object.assign(new EventEmitter(), { terminate: () => {} })
    if (!this.silent.has(node))
      setImmediate(() => {
        socket.emit('message', Buffer.from('\u0001{"egress":[],"moments":[]}'))
        socket.emit('message', Buffer.from('\u0003{"status":"Success"}'))
        socket.emit('close')
      })
    return socket
  }
}

async function until(isSo: () => boolean): Promise<void> {
  for (const end = Date.now() + 10_000; !isSo(); await setTimeout(5))
    assert.ok(Date.now() < end, 'not within 10 s')
}

test('an agent that never answers is named, and the others are asked again', async () => {
  const api = new FakeApi('alive', 'dead')
  api.silent.add('dead')
  const live = new LiveCluster(api.client, quick)
  const stop = new AbortController()
  const run = live.run(stop.signal)
  await until(() => (api.asked.get('alive') ?? 0) > 3)
  assert.deepEqual(live.current().unknown, ['The agent on node dead does not answer: not done within 5 s'])
  api.silent.clear()
  await until(() => live.current().unknown.length === 0)
  stop.abort()
  await run
})

test('the signal ends a run while an agent does not answer', async () => {
  const api = new FakeApi('dead')
  api.silent.add('dead')
  const stop = new AbortController()
  const run = new LiveCluster(api.client).run(stop.signal)
  await until(() => api.asked.has('dead'))
  stop.abort()
  await run
})

test('a node without an agent is named', async () => {
  const api = new FakeApi('stays', 'leaves')
  const live = new LiveCluster(api.client, quick)
  const stop = new AbortController()
  const run = live.run(stop.signal)
  await until(() => api.asked.size === 2 && live.current().unknown.length === 0)
  api.nodes = ['stays']
  await until(() => live.current().unknown.length > 0)
  assert.deepEqual(live.current().unknown, [
    'The agent on node leaves does not answer: no agent runs there now',
  ])
  stop.abort()
  await run
})
