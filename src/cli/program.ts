import { Command } from 'commander'
import { version } from '../api/version.ts'
import { addCompletion } from './commands/completion.ts'
import { addConfig } from './commands/config.ts'
import { addInstall, addUpgrade } from './commands/install.ts'
import { addNodeCommands } from './commands/node.ts'
import { addPreflight } from './commands/preflight.ts'
import { addStatus } from './commands/status.ts'
import { addUninstall } from './commands/uninstall.ts'
import { outputOption } from './options.ts'
import { print, printJson } from './output.ts'

const examples = (name: string): string => {
  const lines = [
    [`${name} preflight`, 'what would keep an install from working'],
    [`${name} install --set devices="{eth+,net+}"`, 'install into the cluster of your kubeconfig'],
    [`${name} status --wait`, 'wait until everything is ready'],
    [`${name} upgrade`, 'bring the install to this version, node by node'],
    [
      'kubectl -n kube-system exec ds/sallyport -- sallyport egress list',
      'which pods of a node leave by which address',
    ],
    ['sallyport lab demo', 'see all of it on this machine, from a checkout of the sources'],
  ] as const
  const rows = lines.map(([command, meaning]) => `  ${command.padEnd(67)}${meaning}`)
  return `\nExamples:\n${rows.join('\n')}\n\nThe help of a command explains its options and settings: ${name} install --help`
}

/**
 * What a person types. Each command loads what it needs when it runs: most of them must answer at once. `firstWord` is the command that
 * was asked for.
 */
export async function buildProgram(name: string, firstWord: string | undefined): Promise<Command> {
  const program = new Command(name)
    .description(
      'Pods leave the cluster from addresses that you chose, and keep leaving from them when a gateway dies.',
    )
    .version(`sallyport ${version}`, '--version', 'print the version of this command')
    .showHelpAfterError('(--help explains)')
    .showSuggestionAfterError()
    .exitOverride()
    .enablePositionalOptions()
    .addHelpText('after', examples(name))
  for (const add of [
    ...[addPreflight, addInstall, addUpgrade, addUninstall, addStatus, addConfig, addNodeCommands],
    addCompletion,
  ])
    add(program)
  program
    .command('version')
    .description('the version of this command')
    .addOption(outputOption())
    .action(({ output }: { output?: string }) =>
      output === 'json' ? printJson({ version }) : print(`sallyport ${version}`),
    )
  /* The one import from a rung below: the lab mounts its verbs here, and only when they are asked for. */
  if (firstWord === 'lab') program.addCommand((await import('../lab/command.ts')).labCommand())
  else program.command('lab').description('a whole cluster on this Linux machine, for trying things out')
  return program
}
