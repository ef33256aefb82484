import type { Command } from 'commander'
import { print } from '../output.ts'

interface Options {
  readonly purge?: boolean
  readonly yes?: boolean
  readonly abandonNodes?: boolean
}

export function addUninstall(program: Command): void {
  program
    .command('uninstall')
    .description(
      'remove Sallyport from the cluster and from every node; policies stay unless --purge is given',
    )
    .option('--purge', 'remove our definitions, too, and with them every policy of these kinds')
    .option('--yes', 'also where running pods lose their network by it')
    .option('--abandon-nodes', 'do not insist on nodes that do not answer: they keep what they have of ours')
    .action(async (options: Options) => {
      const { purge: isPurge = false, yes: isConfirmed = false, abandonNodes: isAbandoning = false } = options
      const { uninstall } = await import('../install/uninstall.ts')
      const { withCluster } = await import('../cluster.ts')
      await withCluster((client) => uninstall(client, { isPurge, isConfirmed, isAbandoning, print }))
    })
}
