/**
 * Starts pods one after another, each of which calls the outpost as its first act, and takes each away when it has. Runs in
 * the lab's network: `node start-pods.ts COUNT IN_FLIGHT`. Prints how long it took.
 */
import { readFileSync } from 'node:fs'
import { parse } from 'yaml'
import type { KubeObject } from '../../src/kube/client.ts'
import { KubeClient } from '../../src/kube/client.ts'
import { coreResource } from '../../src/kube/cluster-objects.ts'
import { Mirror } from '../../src/kube/mirror.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { createLog } from '../../src/runtime/log.ts'

interface Pod extends KubeObject {
  readonly status?: { readonly phase?: string }
}

const [count, inFlight] = process.argv.slice(2).map(Number) as [number, number]
const config = parse(readFileSync(process.env.KUBECONFIG ?? '', 'utf8'))
const { server, 'certificate-authority-data': ca } = config.clusters[0].cluster
const { token } = config.users[0].user
const client = new KubeClient(
  { server, ca: Buffer.from(ca, 'base64').toString('utf8'), token: () => token },
  { userAgent: 'start-pods' },
)
const pods = client.resource<Pod>(coreResource('pods', true))
const done = new AbortController()
const waiting = new Map<string, () => void>()
const mirror = new Mirror<Pod, string>(pods, {
  namespace: 'default',
  labelSelector: 'test=first-packet',
  clock: systemClock,
  log: createLog('start-pods', 'error'),
  trim: ({ status }) => status?.phase ?? '',
  onChange: () => {
    for (const [name, resolve] of waiting)
      if (['Succeeded', 'Failed'].includes(mirror.items.get(`default/${name}`) ?? '')) {
        waiting.delete(name)
        resolve()
      }
  },
})
const watching = mirror.start(done.signal)
await mirror.synced

async function startOne(index: number): Promise<void> {
  const name = `first-packet-${index}`
  const ended = new Promise<void>((resolve) => waiting.set(name, resolve))
  await pods.create({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels: { org: 'alliance', test: 'first-packet' } },
    spec: {
      restartPolicy: 'Never',
      containers: [
        {
          name: 'call',
          image: 'docker.io/tgraf/netperf',
          command: ['curl', '-s', '--max-time', '5', 'http://172.18.0.7:8000'],
        },
      ],
    },
  } as unknown as Pod)
  await ended
  clearTimeout(stuck)
  stuck = setTimeout(giveUp, patienceMs)
  await pods.delete(name, { namespace: 'default', gracePeriodSeconds: 0 })
}

/** On a busy machine a pod may take long, but not for ever: a cluster that is gone must not be waited for. */
const patienceMs = 120_000
let stuck = setTimeout(giveUp, patienceMs)

function giveUp(): void {
  process.stderr.write(`no pod has ended for ${patienceMs / 1000} s; ${waiting.size} were started\n`)
  process.exit(1)
}

const startedMs = Date.now()
let next = 0
await Promise.all(
  Array.from({ length: inFlight }, async () => {
    while (next < count) await startOne(next++)
  }),
)
clearTimeout(stuck)
done.abort()
await watching
await client[Symbol.asyncDispose]()
process.stdout.write(`${JSON.stringify({ count, seconds: (Date.now() - startedMs) / 1000 })}\n`)
