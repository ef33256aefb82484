import { join } from 'node:path'
import { apiServerUrl, type LabState } from '../lab-state.ts'
import { controlPlane, labPaths } from '../layout.ts'
import { until } from '../machines/machine.ts'
import { exec } from '../shell.ts'

/** Waits until every kubelet has registered its node, and labels the control plane. */
export async function awaitRegistration(state: LabState): Promise<void> {
  await until('every node is registered', async () => (await countNodes(state)) >= state.nodes.length, 30_000)
  await labelControlPlane(state)
}

/** Sends the request from inside the lab, because this process cannot reach the lab's network, and must not. */
async function askApiServer(state: LabState, path: string, more: readonly string[] = []): Promise<string> {
  const { apiServer } = labPaths(state.name)
  const words = ['curl', '-s', '--cacert', join(apiServer, 'ca.crt'), '--header', '@-', ...more]
  const { output } = await exec(state, [...words, `${apiServerUrl(state)}${path}`], {
    input: `Authorization: Bearer ${state.tokens.admin}\n`,
  })
  return output
}

/** A kubelet must not label its own node as control plane. The installer of a cluster does that. */
async function labelControlPlane(state: LabState): Promise<void> {
  const patch = JSON.stringify({ metadata: { labels: { [controlPlane]: '' } } })
  const merge = ['--header', 'Content-Type: application/merge-patch+json', '--data', patch]
  for (const { name, isControlPlane } of state.nodes)
    if (isControlPlane) await askApiServer(state, `/api/v1/nodes/${name}`, ['--request', 'PATCH', ...merge])
}

async function countNodes(state: LabState): Promise<number> {
  const output = await askApiServer(state, '/api/v1/nodes')
  try {
    const { items } = JSON.parse(output) as { items: readonly { metadata: { name: string } }[] }
    return items.filter(({ metadata }) => state.nodes.some(({ name }) => name === metadata.name)).length
  } catch {
    return 0
  }
}
