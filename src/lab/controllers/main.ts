import { flushCompileCache } from 'node:module'
import { parseArgs } from 'node:util'
import { systemClock } from '../../runtime/clock.ts'
import { createLog } from '../../runtime/log.ts'
import { Loop } from '../../runtime/reconcile.ts'
import { shutdownSignal } from '../../runtime/shutdown.ts'
import { readCredentials } from '../daemons/credentials.ts'
import { Cluster } from './cluster.ts'
import { tendDaemonSet } from './daemon-sets.ts'
import { tendDeployment } from './deployments.ts'
import { furnishNamespaces } from './namespaces.ts'
import { judgeNodes } from './node-lifecycle.ts'
import { OwnedPods } from './owned-pods.ts'
import { collectPods } from './pod-collector.ts'
import { schedule } from './scheduler.ts'

/** The tasks of a cluster's scheduler and controller manager, as far as the lab needs them. */
const { values: options } = parseArgs({
  options: {
    server: { type: 'string', default: '' },
  },
})

/** A missing Lease causes no event, so a timer checks all nodes. */
const lookAgainMs = 5_000

const log = createLog('controllers', 'info')
const signal = shutdownSignal(log)
const { ca, token } = readCredentials()
const cluster = new Cluster({ server: options.server, ca, token }, log, () => loop.trigger())
const ownedPods = new OwnedPods(cluster)
const loop = new Loop({ name: 'controllers', run: reconcile, clock: systemClock, log, minIntervalMs: 10 })

async function reconcile(): Promise<void> {
  if (!cluster.hasSynced) return
  const nodes = cluster.nodesByName()
  await furnishNamespaces(cluster, ca)
  await judgeNodes(cluster, systemClock.now())
  for (const daemonSet of cluster.daemonSets()) await tendDaemonSet(ownedPods, daemonSet, nodes)
  for (const deployment of cluster.deployments()) await tendDeployment(ownedPods, deployment)
  await collectPods(cluster)
  for (const pod of cluster.pods()) if (!pod.spec.nodeName) await schedule(cluster, pod)
}

/* A lab that is taken away kills its processes, and what they have compiled would be lost. */
flushCompileCache()
const timer = setInterval(() => loop.trigger(), lookAgainMs)
await Promise.all([loop.start(signal), cluster.watch(signal)])
clearInterval(timer)
process.exit()
