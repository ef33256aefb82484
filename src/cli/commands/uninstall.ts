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
    .description('remove Sallyport from the cluster and from every node; without --purge, policies stay')
    .option('--purge', 'also delete Sallyport’s resource definitions, and with them all egress policies')
    .option('--yes', 'uninstall even if running pods lose their network')
    .option(
      '--abandon-nodes',
      'do not wait for nodes that do not respond; Sallyport’s files and programs stay there',
    )
    .action(async (options: Options) => {
      const {
        purge: isPurge = false,
        yes: isConfirmed = false,
        abandonNodes: abandonsNodes = false,
      } = options
      const { uninstall } = await import('../install/uninstall.ts')
      const { withCluster } = await import('../cluster.ts')
      await withCluster((client) => uninstall(client, { isPurge, isConfirmed, abandonsNodes, print }))
    })
}
