import type { KubeClient } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import type { Finding } from '../../runtime/finding.ts'
import type { PodEvent } from '../trouble/pod-trouble.ts'

/** A CNI plugin that a node's container runtime did not find, according to the Events of pods that did not start. */
export interface MissingPlugin {
  readonly plugin: string
  /** The folders that the runtime searched. */
  readonly folders: readonly string[]
  readonly node: string
}

const maxEvents = '500'

export async function findMissingPlugins(client: KubeClient): Promise<readonly MissingPlugin[]> {
  const path = client.resource(coreResource('events', true)).path()
  const query = { fieldSelector: 'type=Warning,reason=FailedCreatePodSandBox', limit: maxEvents }
  const { items = [] } = (await client.json({ method: 'GET', path, query })) as {
    readonly items?: readonly (PodEvent & { readonly source?: { readonly host?: string } })[]
  }
  return items.flatMap(({ message = '', source }) => missingPluginIn(message, source?.host ?? 'a node') ?? [])
}

/** Both containerd and CRI-O pass on the message of libcni. */
export function missingPluginIn(message: string, node: string): MissingPlugin | undefined {
  const [, plugin, folders = ''] = /failed to find plugin "([^"]+)" in path \[([^\]]*)\]/.exec(message) ?? []
  return plugin === undefined ? undefined : { plugin, folders: folders.split(' '), node }
}

/** `binaries`: the folder in which the agent installs plugins. It installs the loopback plugin, too. */
export function judgeMissingPlugins(missing: readonly MissingPlugin[], binaries: string): Finding[] {
  const elsewhere = missing.find(({ folders }) => !folders.includes(binaries))
  if (elsewhere !== undefined)
    return [
      {
        level: 'problem',
        what: `the container runtime of ${elsewhere.node} looks for CNI plugins in ${elsewhere.folders.join(', ')}, not in ${binaries}`,
        remedy: `install Sallyport's plugin there: --set cni.binPath=${elsewhere.folders[0]}`,
      },
    ]
  const others = missing.filter(({ plugin }) => plugin !== 'loopback' && plugin !== 'sallyport-cni')
  if (others.length > 0)
    return [
      {
        level: 'warning',
        what: `pods did not start on ${[...new Set(others.map(({ node }) => node))].join(', ')}, because the container runtime did not find the CNI plugin ${[...new Set(others.map(({ plugin }) => plugin))].join(', ')}`,
        remedy: 'install that plugin, or remove the CNI configuration that names it',
      },
    ]
  if (missing.length === 0) return []
  return [{ level: 'fine', what: 'nodes lack the loopback plugin, and the agent installs it' }]
}
