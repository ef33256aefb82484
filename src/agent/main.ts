import { flushCompileCache } from 'node:module'
import { parseArgs } from 'node:util'
import { type Configuration, configMapData, parseConfiguration } from '../api/configuration.ts'
import { healthPort } from '../api/manifests.ts'
import { version } from '../api/version.ts'
import { openDatapath } from '../datapath/datapath.ts'
import { Netlink } from '../datapath/netlink.ts'
import { watchNetwork } from '../datapath/network-changes.ts'
import { inClusterAccess } from '../kube/access.ts'
import { KubeClient } from '../kube/client.ts'
import { systemClock } from '../runtime/clock.ts'
import { readConfigurationDirectory } from '../runtime/configuration-directory.ts'
import { createLog, type Logger } from '../runtime/log.ts'
import { shutdownSignal } from '../runtime/shutdown.ts'
import { Agent } from './agent.ts'
import { installPlugin } from './cni-install.ts'
import { agentSocketPath } from './local-api.ts'
import { serveHealth, serveLocalApi } from './serve.ts'

/** How often the tables are compared with what is decided even when nothing is heard of. */
const resyncMs = 30_000
const sweepMs = 60_000

const { values: options } = parseArgs({
  options: {
    'node-name': { type: 'string', default: process.env.NODE_NAME ?? '' },
    'config-directory': { type: 'string', default: '/etc/sallyport/config' },
    'state-directory': { type: 'string', default: '/run/sallyport' },
    'pin-directory': { type: 'string', default: '/sys/fs/bpf/sallyport' },
    socket: { type: 'string', default: agentSocketPath },
  },
})

function readConfiguration(directory: string): {
  configuration: Configuration
  data: Record<string, string>
} {
  const data = configMapData(readConfigurationDirectory(directory))
  const parsed = parseConfiguration(data)
  if (!parsed.ok)
    throw new Error(`the configuration in ${directory} cannot be used: ${parsed.issues.join('; ')}`)
  return { configuration: parsed.value, data }
}

async function run(log: Logger, configuration: Configuration, data: Record<string, string>): Promise<void> {
  const signal = shutdownSignal(log)
  const self = options['node-name']
  if (self === '') throw new Error('the name of this node is not known: set NODE_NAME or give --node-name')
  await using client = new KubeClient(inClusterAccess(), { userAgent: `sallyport-agent/${version}` })
  await using datapath = openDatapath({ pinDirectory: options['pin-directory'] })
  using netlink = new Netlink()
  const agent = new Agent({
    self,
    client,
    datapath,
    netlink,
    configuration,
    configMap: data,
    stateDirectory: options['state-directory'],
    clock: systemClock,
    log,
    onReady: () => {
      installPlugin(options.socket, log)
      flushCompileCache()
    },
  })
  const servers = [await serveLocalApi(options.socket, agent), await serveHealth(healthPort, agent)]
  const resync = setInterval(() => agent.trigger(), resyncMs)
  const sweep = setInterval(() => agent.sweep(), Math.min(sweepMs, Math.max(configuration.leaseIdleMs, 1000)))
  try {
    await Promise.all([agent.start(signal), followNetwork(agent, signal)])
  } finally {
    clearInterval(resync)
    clearInterval(sweep)
    for (const server of servers) {
      server.close()
      server.closeAllConnections()
    }
  }
}

async function followNetwork(agent: Agent, signal: AbortSignal): Promise<void> {
  for await (const _change of watchNetwork(signal)) agent.trigger()
}

const log = createLog('agent', process.env.LOG_LEVEL ?? 'info')
try {
  const { configuration, data } = readConfiguration(options['config-directory'])
  log.level = configuration.logLevel
  await run(log, configuration, data)
} catch (error) {
  log.fatal({ err: error }, error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
process.exit()
