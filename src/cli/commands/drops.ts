import type { Command } from 'commander'
import type { DropEvent } from '../../agent/api/local-api.ts'
import { followAgent, isInAgentPod } from '../agent-socket.ts'
import { hasKubeconfig } from '../kubeconfig/kubeconfig-files.ts'
import { outputOption } from '../options.ts'
import { print } from '../output.ts'
import { warn } from './see.ts'
import { dropsHelp } from './see-help.ts'

export function addDrops(program: Command): void {
  program
    .command('drops')
    .alias('monitor')
    .description('print each packet that a node drops, with the reason; in an agent’s pod, those of its node')
    .addOption(outputOption('json: one object per line'))
    .addHelpText('after', dropsHelp)
    .action(async ({ output }: { readonly output?: string }) => {
      const show = dropPrinter(output)
      if (isInAgentPod() || !hasKubeconfig())
        for await (const drop of followAgent<DropEvent>('/v1/drops')) show(drop)
      else await followCluster(show)
    })
}

async function followCluster(show: (drop: DropEvent) => void): Promise<void> {
  const { withCluster } = await import('../cluster.ts')
  const { listAgents } = await import('../see/agents.ts')
  const { followAll } = await import('../see/merged.ts')
  await withCluster(async (client) => {
    const agents = await listAgents(client)
    const options = { isEndless: true, onFailure: warn }
    for await (const drop of followAll<DropEvent>(agents, '/v1/drops', options)) show(drop)
  })
}

/** The kernel keeps records until a command reads them, so the first ones can be older than this command. */
function dropPrinter(output: string | undefined): (drop: DropEvent) => void {
  const startedAt = Date.now()
  let age: 'none' | 'earlier' | 'new' = 'none'
  const remedied = new Set<string>()
  const note = (text: string): void => void (output !== 'json' && process.stderr.write(`${text}\n`))
  return (drop) => {
    const isEarlier = Date.parse(drop.time) < startedAt
    if (isEarlier && age === 'none') note('Dropped before this command started:')
    if (!isEarlier && age === 'earlier') note('Dropped since then:')
    age = isEarlier ? 'earlier' : 'new'
    print(output === 'json' ? JSON.stringify(drop) : lineOf(drop))
    if (!remedied.has(drop.verdict)) note(`What to do about ${drop.verdict}: ${drop.remedy}.`)
    remedied.add(drop.verdict)
  }
}

function lineOf({
  time,
  node,
  program,
  protocol,
  source,
  destination,
  reason,
  verdict,
  pod,
}: DropEvent): string {
  const of = pod === undefined ? '' : `   pod ${pod}`
  return `${time}   ${node}   ${program}   ${protocol} ${source} -> ${destination}   ${reason} (${verdict})${of}`
}
