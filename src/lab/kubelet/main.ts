import { watch } from 'node:fs'
import { flushCompileCache } from 'node:module'
import { parseArgs } from 'node:util'
import { KubeClient } from '../../kube/client.ts'
import { systemClock } from '../../runtime/clock.ts'
import { createLog } from '../../runtime/log.ts'
import { shutdownSignal } from '../../runtime/shutdown.ts'
import { readCredentials } from '../daemons/credentials.ts'
import { Kubelet } from './kubelet.ts'
import { nodeResources, reportNode } from './node-object.ts'
import { ProcessRuntime } from './runtime/processes.ts'
import type { ContainerRuntime } from './runtime/runtime.ts'
import { serveStreams } from './streams.ts'

const { values: options } = parseArgs({
  options: {
    'node-name': { type: 'string', default: '' },
    address: { type: 'string', multiple: true, default: [] },
    'pod-cidr': { type: 'string', multiple: true, default: [] },
    lab: { type: 'string', default: '' },
    'control-plane': { type: 'boolean', default: false },
    runtime: { type: 'string', default: 'processes' },
    server: { type: 'string', default: '' },
  },
})

/** As a real kubelet. */
const heartbeatMs = 10_000

/** Labs without it do without its packages. */
async function connectToContainerd(): Promise<ContainerRuntime> {
  const { ContainerdRuntime } = await import('./runtime/containerd/runtime.ts')
  return ContainerdRuntime.connect()
}

const log = createLog('kubelet', 'info')
const signal = shutdownSignal(log)
const { ca, token, streamToken } = readCredentials()
const client = new KubeClient(
  { server: options.server, ca, token: () => token },
  { userAgent: 'lab-kubelet' },
)
const runtime = options.runtime === 'containerd' ? await connectToContainerd() : new ProcessRuntime()
const identity = {
  name: options['node-name'],
  addresses: options.address,
  podCIDRs: options['pod-cidr'],
  isControlPlane: options['control-plane'],
  lab: options.lab,
  runtime: runtime.version,
}
const kubelet = new Kubelet({
  nodeName: identity.name,
  nodeIP: options.address[0] ?? '',
  apiServerHost: new URL(options.server).hostname,
  allocatable: nodeResources,
  authority: ca,
  client,
  clock: systemClock,
  log,
  runtime,
})
const streams = serveStreams(streamToken, (...of) => kubelet.find(...of))
streams.listen(10250, options.address[0])

const report = (): void => {
  reportNode(client, identity).catch((error: unknown) =>
    log.warn({ err: error }, 'the node could not be reported'),
  )
}
report()
const heartbeat = setInterval(report, heartbeatMs)
watch('/etc/cni/net.d', report)
/* Removing a lab kills its processes, and their compiled code would be lost. */
flushCompileCache()
await kubelet.start(signal)
clearInterval(heartbeat)
process.exit()
