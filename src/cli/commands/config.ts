import type { Command } from 'commander'
import { askAgent, isInAgentPod } from '../agent-socket.ts'
import { outputOption } from '../options.ts'
import { print, printJson } from '../output.ts'

export function addConfig(program: Command): void {
  program
    .command('config')
    .description('show the settings of the install')
    .command('view')
    .description('print all settings, one per line')
    .addOption(outputOption())
    .action(async ({ output }: { readonly output?: string }) => {
      const config = isInAgentPod()
        ? await askAgent<Record<string, string>>('/v1/config')
        : await readFromCluster()
      const rows = Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1))
      if (output === 'json') return printJson(Object.fromEntries(rows))
      const { formatColumns } = await import('../columns.ts')
      print(formatColumns(rows))
    })
}

async function readFromCluster(): Promise<Readonly<Record<string, string>>> {
  const { withCluster } = await import('../cluster.ts')
  const { readConfigMap } = await import('../install/config-map.ts')
  return withCluster(readConfigMap)
}
