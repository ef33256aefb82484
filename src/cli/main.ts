import { Command, CommanderError } from 'commander'
import { version } from '../api/version.ts'
import { leaveWithReader } from '../runtime/closed-pipe.ts'
import { addConfig } from './commands/config.ts'
import { addInstall, addUpgrade } from './commands/install.ts'
import { addNodeCommands } from './commands/node.ts'
import { addPreflight } from './commands/preflight.ts'
import { addStatus } from './commands/status.ts'
import { addUninstall } from './commands/uninstall.ts'
import { Complaint } from './complaint.ts'
import { outputOption } from './options.ts'
import { print, printJson } from './output.ts'

leaveWithReader()

/** What a person types. Each command loads what it needs when it runs: most of them must answer at once. */
const program = new Command('sallyport')
  .description(
    'Pods leave the cluster from addresses that you chose, and keep leaving from them when a gateway dies.',
  )
  .version(`sallyport ${version}`, '--version', 'print the version of this command')
  .showHelpAfterError('(--help explains)')
  .showSuggestionAfterError()
  .exitOverride()
  .enablePositionalOptions()
  .addHelpText(
    'after',
    `
Examples:
  sallyport preflight                               what would keep an install from working
  sallyport install --set devices="{eth+,net+}"     install into the cluster of your kubeconfig
  sallyport status --wait                           wait until all is well
  sallyport upgrade                                 bring the install to this version, node by node
  kubectl -n kube-system exec -ti POD -- sallyport bpf egress list
  sallyport lab demo                                see all of it on this machine`,
  )

for (const add of [addPreflight, addInstall, addUpgrade, addUninstall, addStatus, addConfig, addNodeCommands])
  add(program)
program
  .command('version')
  .description('the version of this command')
  .addOption(outputOption())
  .action(({ output }: { output?: string }) =>
    output === 'json' ? printJson({ version }) : print(`sallyport ${version}`),
  )

/* The one import from a rung below: the lab mounts its verbs here, and only when they are asked for. */
if (process.argv[2] === 'lab') program.addCommand((await import('../lab/command.ts')).labCommand())
else program.command('lab').description('a whole cluster on this machine, for trying things out')

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = explain(error)
}

/** Says what is wrong, and gives the exit code: 2 where the command was not understood, 1 where it failed. */
function explain(error: unknown): number {
  // commander has printed its own by now; help that was asked for is one of these, with exit code 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  const message = error instanceof Error ? error.message : String(error)
  process.stderr.write(`sallyport: ${message}\n`)
  return error instanceof Complaint ? error.exitCode : 1
}
