import type { Command } from 'commander'
import { askAgent, isInAgentPod } from '../agent-socket.ts'
import { print } from '../output.ts'

export function addConfig(program: Command): void {
  program
    .command('config')
    .description('the configuration in force')
    .command('view')
    .description('print it, a key a line')
    .action(async () => {
      const { formatColumns } = await import('../columns.ts')
      const config = isInAgentPod()
        ? await askAgent<Record<string, string>>('/v1/config')
        : await readFromCluster()
      print(formatColumns(Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1))))
    })
}

async function readFromCluster(): Promise<Readonly<Record<string, string>>> {
  const { withCluster } = await import('../cluster.ts')
  const { readConfigMap } = await import('../config-map.ts')
  return withCluster(readConfigMap)
}
