import { flushCompileCache } from 'node:module'
import { hostname } from 'node:os'
import { parseArgs } from 'node:util'
import { version } from '../api/version.ts'
import { type Configuration, configMapData, parseConfiguration } from '../install/configuration.ts'
import { inClusterAccess } from '../kube/access.ts'
import { KubeClient } from '../kube/client.ts'
import { systemClock } from '../runtime/clock.ts'
import { readConfigurationDirectory } from '../runtime/configuration-directory.ts'
import { keepHeartbeat } from '../runtime/heartbeat.ts'
import { createLog, type Logger } from '../runtime/log.ts'
import { systemRandom } from '../runtime/random.ts'
import { shutdownSignal } from '../runtime/shutdown.ts'
import { enterStage, leaveStages } from '../runtime/stages.ts'
import { Operator } from './operator.ts'
import { serveMetrics } from './serve-metrics.ts'

const heartbeatMs = 5_000

const { values: options } = parseArgs({
  options: {
    'config-directory': { type: 'string', default: '/etc/sallyport/config' },
    namespace: { type: 'string', default: process.env.POD_NAMESPACE ?? 'kube-system' },
    /** The file that this process writes while it makes progress. The kubelet's probes read it. */
    'heartbeat-file': { type: 'string' },
    identity: { type: 'string', default: `${process.env.POD_NAME ?? hostname()}_${process.pid}` },
  },
})

async function run(log: Logger, configuration: Configuration): Promise<void> {
  const signal = shutdownSignal(log)
  await using client = new KubeClient(inClusterAccess(configuration.apiServer), {
    userAgent: `sallyport-operator/${version}`,
  })
  const { namespace, identity, 'heartbeat-file': heartbeatFile } = options
  const operator = new Operator({
    client,
    clock: systemClock,
    random: systemRandom,
    log,
    settings: configuration,
    namespace,
    identity,
  })
  if (heartbeatFile !== undefined) keepHeartbeat(heartbeatFile, heartbeatMs, log)
  flushCompileCache()
  leaveStages()
  const { operatorMetricsPort: port, healthAddress: address } = configuration
  const read = (): Promise<string> => operator.metrics()
  await Promise.all([
    operator.start(signal),
    serveMetrics({ port, address, read, clock: systemClock, log }, signal),
  ])
}

const log = createLog('operator', process.env.LOG_LEVEL ?? 'info')
try {
  enterStage('read the configuration', log)
  const parsed = parseConfiguration(configMapData(readConfigurationDirectory(options['config-directory'])))
  if (!parsed.ok) throw new Error(`the configuration is invalid: ${parsed.issues.join('; ')}`)
  log.level = parsed.value.logLevel
  await run(log, parsed.value)
} catch (error) {
  leaveStages()
  log.fatal({ err: error }, error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
process.exit()
