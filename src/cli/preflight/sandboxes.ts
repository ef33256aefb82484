import type { KubeClient } from '../../kube/client.ts'
import { coreResource } from '../../kube/cluster-objects.ts'
import type { Finding } from '../../runtime/finding.ts'
import type { PodEvent } from '../trouble/pod-trouble.ts'

/** A plugin that a node's container runtime did not find, by the Events of pods that did not start. */
export interface MissingPlugin {
  readonly plugin: string
  /** Where the runtime looked. */
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

/** Both containerd and CRI-O pass on what libcni says. */
export function missingPluginIn(message: string, node: string): MissingPlugin | undefined {
  const [, plugin, folders = ''] = /failed to find plugin "([^"]+)" in path \[([^\]]*)\]/.exec(message) ?? []
  return plugin === undefined ? undefined : { plugin, folders: folders.split(' '), node }
}

/** Pure. `binaries`: where the agent is to put plugins. The loopback plugin it brings itself. */
export function judgeMissingPlugins(missing: readonly MissingPlugin[], binaries: string): Finding[] {
  const elsewhere = missing.find(({ folders }) => !folders.includes(binaries))
  if (elsewhere !== undefined)
    return [
      {
        level: 'problem',
        what: `the container runtime of ${elsewhere.node} looks for CNI plugins in ${elsewhere.folders.join(', ')}, not in ${binaries}`,
        remedy: `--set cni.binPath=${elsewhere.folders[0]}`,
      },
    ]
  const others = missing.filter(({ plugin }) => plugin !== 'loopback' && plugin !== 'sallyport-cni')
  if (others.length > 0)
    return [
      {
        level: 'warning',
        what: `pods did not start on ${[...new Set(others.map(({ node }) => node))].join(', ')}: their container runtime found no plugin ${[...new Set(others.map(({ plugin }) => plugin))].join(', ')}`,
        remedy: 'install it, or remove the CNI configuration that names it',
      },
    ]
  if (missing.length === 0) return []
  return [{ level: 'fine', what: 'nodes lack the loopback plugin: the agent brings it' }]
}
