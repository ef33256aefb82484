import { flushCompileCache } from 'node:module'
import { hostname } from 'node:os'
import { parseArgs } from 'node:util'
import { version } from '../api/version.ts'
import { goneNodes, planSlots } from '../decide/ports/slot-grants.ts'
import { slotEvents } from '../decide/status/events.ts'
import { explainPolicies } from '../decide/status/status.ts'
import type { Settings } from '../decide/world.ts'
import { configMapData, parseConfiguration } from '../install/configuration.ts'
import { leaderLeaseName } from '../install/manifest.ts'
import { inClusterAccess } from '../kube/access.ts'
import { KubeClient } from '../kube/client.ts'
import { coreResource } from '../kube/cluster-objects.ts'
import { Leadership } from '../kube/leader.ts'
import { Attempts } from '../runtime/attempts.ts'
import { type Clock, systemClock } from '../runtime/clock.ts'
import { readConfigurationDirectory } from '../runtime/configuration-directory.ts'
import { keepHeartbeat } from '../runtime/heartbeat.ts'
import { createLog, type Logger } from '../runtime/log.ts'
import { Loop } from '../runtime/reconcile.ts'
import { shutdownSignal } from '../runtime/shutdown.ts'
import { enterStage, leaveStages } from '../runtime/stages.ts'
import { Absences } from './absences.ts'
import { applyPolicyStatus, applySlots } from './apply.ts'
import { Teller } from './event-writer.ts'
import { EventRecorder } from './events.ts'
import { Leases } from './leases.ts'
import { StatuslessKinds } from './missing-status.ts'
import { Observation } from './observe.ts'

const resyncMs = 30_000
/** One object that the API server refuses for good must not keep news of all others waiting. */
const maxPauseMs = 2_000
const heartbeatMs = 5_000

const { values: options } = parseArgs({
  options: {
    'config-directory': { type: 'string', default: '/etc/sallyport/config' },
    namespace: { type: 'string', default: process.env.POD_NAMESPACE ?? 'kube-system' },
    /** Written to while this process moves, for probes. */
    'heartbeat-file': { type: 'string' },
    identity: { type: 'string', default: `${process.env.POD_NAME ?? hostname()}_${process.pid}` },
  },
})

/** By name, those that have an EgressNode. */
function missingNodes({ nodes, egressNodes }: Observation): readonly string[] {
  const present = new Set(nodes.map(({ name }) => name))
  return egressNodes.map(({ metadata }) => metadata.name).filter((name) => !present.has(name))
}

async function run(log: Logger, clock: Clock, settings: Settings): Promise<void> {
  const signal = shutdownSignal(log)
  await using client = new KubeClient(inClusterAccess(), { userAgent: `sallyport-operator/${version}` })
  const absences = new Absences<string>()
  const leadership = new Leadership(client, {
    namespace: options.namespace,
    name: leaderLeaseName,
    identity: options.identity,
    clock,
    log,
  })
  const recorder = new EventRecorder(client.resource(coreResource('events', true)), {
    clock,
    log,
    instance: options.identity,
  })
  const teller = new Teller(recorder)
  const statusless = new StatuslessKinds(clock, log)
  const leases = new Leases({ client, clock, log, recorder })
  const observation = new Observation(client, { clock, log, onChange: () => triggerAll() })
  const mayAct = (): boolean => observation.hasSynced && leadership.isLeader
  const loop = new Loop({
    name: 'operator',
    clock,
    log,
    minIntervalMs: 100,
    maxPauseMs,
    run: async () => {
      if (!mayAct()) return
      const nowMs = clock.monotonicMs()
      const gone = absences.update(missingNodes(observation), leadership.term, nowMs)
      const world = observation.world(settings)
      const leased = leases.slots(world)
      const slots = planSlots(observation.nodes, observation.egressNodes, settings.slots, gone, nowMs, leased)
      leases.noteSlots(slots)
      const attempts = new Attempts()
      await applySlots(client, slots, attempts, log)
      teller.tellSlots(slotEvents(slots), observation.nodes)
      const statuses = explainPolicies(world)
      const now = new Date(clock.now()).toISOString()
      const changes = await applyPolicyStatus(client, world, statuses, { attempts, statusless, now })
      teller.tellPolicies(changes, statuses, world.nodes, clock.monotonicMs())
      const dueInMs = teller.dueInMs(clock.monotonicMs())
      if (dueInMs !== undefined) setTimeout(() => loop.trigger(), dueInMs + 1).unref()
      attempts.finish()
    },
  })
  /* Pods wait for ports: nothing else stands before them in line. */
  const granting = new Loop({
    name: 'leases',
    clock,
    log,
    maxPauseMs,
    run: async () => {
      if (!mayAct()) return
      const nowMs = clock.monotonicMs()
      const since = absences.update(missingNodes(observation), leadership.term, nowMs)
      const gone = goneNodes(observation.nodes, observation.egressNodes, since, nowMs)
      const names = new Set(gone.map(({ metadata }) => metadata.name))
      await leases.grant(observation.world(settings), names, leadership.term)
    },
  })
  const triggerAll = (): void => {
    loop.trigger()
    granting.trigger()
  }
  const resync = setInterval(triggerAll, resyncMs)
  const heartbeatFile = options['heartbeat-file']
  if (heartbeatFile !== undefined) keepHeartbeat(heartbeatFile, heartbeatMs, log)
  flushCompileCache()
  leaveStages()
  try {
    await Promise.all([
      observation.start(signal),
      loop.start(signal),
      granting.start(signal),
      leadership.start(signal, triggerAll),
    ])
    await leadership.release()
  } finally {
    clearInterval(resync)
  }
}

const log = createLog('operator', process.env.LOG_LEVEL ?? 'info')
try {
  enterStage('read the configuration', log)
  const parsed = parseConfiguration(configMapData(readConfigurationDirectory(options['config-directory'])))
  if (!parsed.ok) throw new Error(`the configuration is invalid: ${parsed.issues.join('; ')}`)
  const { slots, isChained, networkPolicies, stackCIDRs, nonMasqueradeCIDRs, logLevel } = parsed.value
  log.level = logLevel
  await run(log, systemClock, { slots, isChained, networkPolicies, stackCIDRs, nonMasqueradeCIDRs })
} catch (error) {
  leaveStages()
  log.fatal({ err: error }, error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
process.exit()
