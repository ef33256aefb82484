import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { parseArgs } from 'node:util'
import { version } from '../api/version.ts'
import { type Datapath, defaultObjectFile, openDatapath } from '../datapath/datapath.ts'
import { hasConnectionTracking } from '../datapath/requirements.ts'
import { type Configuration, configMapData, parseConfiguration } from '../install/configuration.ts'
import { inClusterAccess } from '../kube/access.ts'
import { KubeClient } from '../kube/client.ts'
import { linuxMachine } from '../linux/machine.ts'
import { releaseFreeMemory } from '../linux/memory.ts'
import { Netlink } from '../linux/netlink.ts'
import { watchNetwork } from '../linux/network-changes.ts'
import { hasRoute } from '../linux/route-lookup.ts'
import { listStackRules } from '../linux/stack-rules.ts'
import { systemClock } from '../runtime/clock.ts'
import { readConfigurationDirectory } from '../runtime/configuration-directory.ts'
import type { Finding } from '../runtime/finding.ts'
import { createLog, type Logger } from '../runtime/log.ts'
import { systemRandom } from '../runtime/random.ts'
import { shutdownSignal } from '../runtime/shutdown.ts'
import { enterStage, leaveStages } from '../runtime/stages.ts'
import { Agent } from './agent.ts'
import { resyncMs } from './agent-options.ts'
import { agentSocketPath } from './api/local-api.ts'
import { isAnswered, serveCleaned, serveHealth, serveLocalApi } from './api/serve.ts'
import { proberThread } from './failover/pulse/prober-thread.ts'
import { cleanUp } from './node/clean-up.ts'
import { gatherNodeFacts, judgeNode } from './node/node-checks.ts'
import { ChainedConfiguration, installPlugin } from './plugin/cni-install.ts'

const { values: options } = parseArgs({
  options: {
    'node-name': { type: 'string', default: process.env.NODE_NAME ?? '' },
    'config-directory': { type: 'string', default: '/etc/sallyport/config' },
    'state-directory': { type: 'string', default: '/run/sallyport' },
    'log-directory': { type: 'string', default: '/var/log/sallyport' },
    'pin-directory': { type: 'string', default: '/sys/fs/bpf/sallyport' },
    /** The compiled datapath. */
    'object-file': { type: 'string', default: defaultObjectFile },
    'cni-result-cache': { type: 'string', default: '/var/lib/cni/results' },
    socket: { type: 'string', default: agentSocketPath },
    /** Take everything of ours off the node instead, and end. */
    'clean-up': { type: 'boolean', default: false },
    /** After that, answer probes on this port until told to end: a container that ends is started again. */
    stay: { type: 'string' },
  },
})

function readConfiguration(directory: string): {
  configuration: Configuration
  data: Record<string, string>
} {
  const data = configMapData(readConfigurationDirectory(directory))
  const parsed = parseConfiguration(data)
  if (!parsed.ok) throw new Error(`the configuration in ${directory} is invalid: ${parsed.issues.join('; ')}`)
  return { configuration: parsed.value, data }
}

function loadDatapath(configuration: Configuration, sharesAddress: boolean): Datapath {
  return openDatapath({
    pinDirectory: options['pin-directory'],
    objectFile: options['object-file'],
    knobs: {
      chained: Number(configuration.isChained),
      own_address_is_shared: Number(sharesAddress),
      services_by_stack: Number(configuration.servicesByStack),
      replaces_kube_proxy: Number(configuration.replacesKubeProxy),
      forward_by_stack: Number(configuration.forwardsByStack),
      link_path: Number(configuration.usesLinks),
      flow_log: Number(configuration.natLog !== undefined),
      tunnel_port: configuration.tunnelPort,
      max_ports_per_pod: configuration.maxPortsPerPod,
    },
  })
}

async function run(log: Logger, configuration: Configuration, data: Record<string, string>): Promise<void> {
  const signal = shutdownSignal(log)
  const self = options['node-name']
  if (self === '') throw new Error('the name of this node is unknown: set NODE_NAME or --node-name')
  await using client = new KubeClient(inClusterAccess(configuration.apiServer), {
    userAgent: `sallyport-agent/${version}`,
  })
  const { isChained } = configuration
  /* The stack's own translation would see packets that are forwarded by the stack, and the claims of their ports. */
  const sharesAddress = isChained && !configuration.forwardsByStack && hasConnectionTracking()
  enterStage('load the datapath into the kernel', log)
  await using datapath = loadDatapath(configuration, sharesAddress)
  enterStage('check this node', log)
  using netlink = new Netlink()
  const checkNode = (): readonly Finding[] =>
    judgeNode(gatherNodeFacts(netlink, options['pin-directory'], options['object-file']), configuration)
  for (const { level, what, remedy } of checkNode()) if (level !== 'fine') log.warn({ remedy }, what)
  const chain = isChained ? new ChainedConfiguration(options.socket, systemClock, log) : undefined
  const agent = new Agent({
    self,
    client,
    datapath,
    netlink,
    machine: linuxMachine,
    startProber: proberThread(datapath, configuration.tunnelPort, log),
    networkChanges: watchNetwork,
    configuration,
    sharesAddress,
    configMap: data,
    stateDirectory: options['state-directory'],
    logDirectory: options['log-directory'],
    resultCache: options['cni-result-cache'],
    clock: systemClock,
    random: systemRandom,
    log,
    onReady: () => {
      if (chain === undefined) installPlugin(options.socket, log)
      else chain.keep(signal)
      flushCompileCache()
      leaveStages()
      releaseFreeMemory()
    },
    checkNode,
    listStackRules,
    hasRoute: (wanted) => hasRoute(netlink, wanted),
    pluginProblems: () => (chain?.problem === undefined ? [] : [chain.problem]),
  })
  enterStage('open the local API and the health port', log)
  const servers = [
    await serveLocalApi(options.socket, agent.api),
    await serveHealth(configuration.healthPort, configuration.healthAddress, agent.api),
  ]
  enterStage('list objects from the API server and write the tables', log)
  const stopLooking = systemClock.every(resyncMs, () => {
    releaseFreeMemory()
    if (agent.api.isReady()) chain?.reconcile()
  })
  try {
    await agent.start(signal)
  } finally {
    stopLooking()
    for (const server of servers) {
      server.close()
      server.closeAllConnections()
    }
  }
}

async function runCleanUp(log: Logger): Promise<void> {
  const signal = shutdownSignal(log)
  if (existsSync(options.socket) && (await isAnswered(options.socket)))
    throw new Error(
      'an agent still runs on this node: stop it first, because it creates again what is removed',
    )
  using netlink = new Netlink()
  const done = cleanUp(netlink, {
    pinDirectory: options['pin-directory'],
    stateDirectory: options['state-directory'],
  })
  leaveStages()
  log.info({ done }, done.length === 0 ? 'there was nothing to clean up on this node' : 'cleaned this node')
  if (options.stay === undefined) return
  const server = await serveCleaned(Number(options.stay))
  await once(signal, 'abort')
  server.close()
}

const log = createLog('agent', process.env.LOG_LEVEL ?? 'info')
try {
  enterStage(options['clean-up'] ? 'clean this node' : 'read the configuration', log)
  if (options['clean-up']) await runCleanUp(log)
  else {
    const { configuration, data } = readConfiguration(options['config-directory'])
    log.level = configuration.logLevel
    await run(log, configuration, data)
  }
} catch (error) {
  leaveStages()
  log.fatal({ err: error }, error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
process.exit()
