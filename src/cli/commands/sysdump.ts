import type { Command } from 'commander'
import { systemClock } from '../../runtime/clock.ts'
import { print } from '../output.ts'
import { sysdumpHelp } from './see-help.ts'

export function addSysdump(program: Command): void {
  program
    .command('sysdump')
    .description('write an archive with what Sallyport knows about the cluster, for a bug report')
    .option(
      '--output-filename <file>',
      'the archive; by default, sallyport-sysdump-TIME.tar.gz in this folder',
    )
    .option('--flows', 'add the open flows of each node, with their destinations')
    .addHelpText('after', sysdumpHelp)
    .action(
      async ({ outputFilename, flows }: { readonly outputFilename?: string; readonly flows?: boolean }) => {
        const { withCluster } = await import('../cluster.ts')
        const { writeSysdump } = await import('../sysdump/sysdump.ts')
        const time = new Date(systemClock.now()).toISOString().replaceAll(/[:.]/g, '-')
        const path = outputFilename ?? `sallyport-sysdump-${time}.tar.gz`
        const missing = await withCluster((client) =>
          writeSysdump(client, { path, hasFlows: flows === true }),
        )
        for (const each of missing) process.stderr.write(`not read: ${each}\n`)
        print(`Wrote ${path}. Read it before you publish it.`)
      },
    )
}
