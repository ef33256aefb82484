import type { DropEvent } from '../../agent/api/local-api.ts'
import { systemClock } from '../../runtime/clock.ts'
import type { ReachedAgent } from '../see/agents.ts'
import type { ArchivedFile } from './archive.ts'
import { fileOf } from './cluster-files.ts'

/** What an agent answers about its node. Addresses of pods and of destinations are in it, and no content of packets. */
const answers = {
  status: '/v1/status',
  settings: '/v1/config',
  findings: '/v1/findings',
  egress: '/v1/egress',
  services: '/v1/services',
  'bpf-egress': '/v1/bpf/egress',
} as const

const dropsForMs = 3_000
const maxFlows = 10_000

export async function agentFiles(
  agents: readonly ReachedAgent[],
  hasFlows: boolean,
): Promise<readonly ArchivedFile[]> {
  const files = await Promise.all(
    agents.map((agent) =>
      Promise.all([
        ...Object.entries(answers).map(([name, path]) =>
          fileOf(`nodes/${agent.node}/${name}.json`, () => agent.ask(path)),
        ),
        fileOf(`nodes/${agent.node}/drops.json`, () => latestDrops(agent)),
        ...(hasFlows ? [fileOf(`nodes/${agent.node}/flows.json`, () => flowsOf(agent))] : []),
      ]),
    ),
  )
  return files.flat()
}

/** Those that the kernel has kept, and those of the next seconds. */
async function latestDrops(agent: ReachedAgent): Promise<readonly DropEvent[]> {
  const drops: DropEvent[] = []
  const following = agent.follow<DropEvent>('/v1/drops', true)
  const end = systemClock.sleep(dropsForMs).then(() => undefined)
  for (;;) {
    const next = await Promise.race([following.next(), end])
    if (next === undefined || next.done) break
    drops.push(next.value)
  }
  following.return(undefined).catch(() => {})
  return drops
}

async function flowsOf(agent: ReachedAgent): Promise<readonly unknown[]> {
  const rows: unknown[] = []
  for await (const row of agent.follow<unknown>(`/v1/flows?limit=${maxFlows}`, false)) rows.push(row)
  return rows
}
