import { Command } from 'commander'
import { version } from '../api/version.ts'
import { addCompletion } from './commands/completion.ts'
import { addConfig } from './commands/config.ts'
import { addDrops } from './commands/drops.ts'
import { addInstall, addUpgrade } from './commands/install.ts'
import { addNodeCommands } from './commands/node.ts'
import { addPreflight } from './commands/preflight.ts'
import { addSeeing } from './commands/see.ts'
import { addStatus } from './commands/status.ts'
import { addSysdump } from './commands/sysdump.ts'
import { addUi } from './commands/ui.ts'
import { addUninstall } from './commands/uninstall.ts'
import { outputOption } from './options.ts'
import { print, printJson } from './output.ts'

const examples = (name: string): string => {
  const lines = [
    [`${name} preflight`, 'check whether Sallyport can be installed'],
    [
      `${name} install --set image.repository=registry.example.com/sallyport --set cni.chainingMode=generic-veth`,
      'install Sallyport beside another CNI plugin',
    ],
    [`${name} status --wait`, 'wait until everything is ready'],
    [`${name} upgrade`, 'upgrade to the version of this command'],
    [`${name} explain pod/web-0 --to 192.0.2.7:443`, 'tell what becomes of a packet, and why'],
    [`${name} who 192.0.2.42:40123`, 'show which pod is behind a port of an egress IP'],
    ['kubectl -n kube-system get pods -l k8s-app=sallyport -o wide', 'find the pod of the agent of a node'],
    [
      'kubectl -n kube-system exec POD -- sallyport egress list',
      'in that pod: show which pods of the node use which egress IP',
    ],
    ['sallyport lab demo', 'try all of it on this machine, from a checkout of the sources'],
  ] as const
  const column = 67
  const rows = lines.map(([command, meaning]) =>
    command.length < column
      ? `  ${command.padEnd(column)}${meaning}`
      : `  ${command}\n  ${' '.repeat(column)}${meaning}`,
  )
  return `\nExamples:\n${rows.join('\n')}\n\nEach command has help of its own. To see all settings, run: ${name} install --help`
}

/**
 * Builds the commands. Each command imports its code when it runs, so that every command starts quickly. `firstWord` is the command that
 * the user typed.
 */
export async function buildProgram(name: string, firstWord: string | undefined): Promise<Command> {
  const program = new Command(name)
    .description(
      'Sallyport is an egress gateway for Kubernetes. Pods leave the cluster from IP addresses that you choose, and open connections survive the failure of a gateway.',
    )
    .version(`sallyport ${version}`, '--version', 'print the version of this command')
    .showHelpAfterError('(run it with --help to see its usage)')
    .showSuggestionAfterError()
    .exitOverride()
    .enablePositionalOptions()
    .addHelpText('after', examples(name))
  for (const add of [
    ...[
      addPreflight,
      addInstall,
      addUpgrade,
      addUninstall,
      addStatus,
      addConfig,
      addSeeing,
      addDrops,
      addSysdump,
      addUi,
      addNodeCommands,
    ],
    addCompletion,
  ])
    add(program)
  program
    .command('version')
    .description('print the version of this command')
    .addOption(outputOption())
    .action(({ output }: { output?: string }) =>
      output === 'json' ? printJson({ version }) : print(`sallyport ${version}`),
    )
  /* The only import from a lower rung: the commands of the lab, and only if the user asks for them. */
  if (firstWord === 'lab') program.addCommand((await import('../lab/command.ts')).labCommand())
  else program.command('lab').description('run a whole cluster on this Linux machine, to try Sallyport')
  return program
}
