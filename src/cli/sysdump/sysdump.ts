import { writeFileSync } from 'node:fs'
import type { KubeClient } from '../../kube/client.ts'
import { systemClock } from '../../runtime/clock.ts'
import { listAgents } from '../see/agents.ts'
import { agentFiles } from './agent-files.ts'
import { archive } from './archive.ts'
import { clusterFiles, fileOf } from './cluster-files.ts'

interface SysdumpOptions {
  readonly path: string
  readonly hasFlows: boolean
}

const readme = `What Sallyport knows about this cluster, for a bug report.

In it: policies, EgressNodes, EgressAddresses, Nodes, Sallyport's own pods and workloads, its Events, settings and logs, and what
each agent says about its node. A file that ends in .missing says why something could not be read.

Not in it: Secrets, ConfigMaps of others, kubeconfigs, pods of users, values of environment variables, annotations of others,
content of packets. In logs, what looks like a token, a password or a key is replaced with REDACTED.

It has names of pods, nodes and policies, and IP addresses. Read it before you publish it.
`

/** Writes the archive, readable for this user only. Returns what could not be read. */
export async function writeSysdump(client: KubeClient, options: SysdumpOptions): Promise<readonly string[]> {
  const agents = await listAgents(client)
  const [objects, nodes] = await Promise.all([clusterFiles(client), agentFiles(agents, options.hasFlows)])
  const files = [await fileOf('README.txt', async () => readme), ...objects, ...nodes]
  const inFolder = files.map(({ path, text }) => ({ path: `sallyport-sysdump/${path}`, text }))
  writeFileSync(options.path, archive(inFolder, systemClock.now()), { mode: 0o600 })
  return files.flatMap(({ path, text }) =>
    path.endsWith('.missing') ? [`${path.replace(/\.missing$/, '')}: ${text.trim()}`] : [],
  )
}
