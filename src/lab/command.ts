import { Command, Option } from 'commander'
import { outputOption } from '../cli/options.ts'
import { type LabOptions, startLab, stopLab } from './lab.ts'
import { labVerb, listLabs, loadLab, type RuntimeName, requireLab, runtimeNames } from './lab-state.ts'
import { dualStack, walkthroughNodes } from './layout.ts'
import { isFrozen, isRunning } from './machine.ts'
import { type OtherPlugin, otherPlugins } from './other-network.ts'
import { rootProblem } from './requirements.ts'
import { execInherit, openShell } from './shell.ts'
import { runDemo } from './walkthrough/demo.ts'

const print = (text: string): void => void process.stdout.write(`${text}\n`)

type Given = Pick<LabOptions, 'kubeconfig' | 'context' | 'controllers'> & {
  readonly cni: 'sallyport' | OtherPlugin
  readonly dualStack?: boolean
  readonly runtime: RuntimeName
}

const joiningExplained = `
Joining a cluster:
  sallyport lab up --kubeconfig ~/kind.yaml --context kind-kind

  The lab's nodes register there, and "kubectl" in the lab's shell is the kubeconfig's user. The lab itself still
  reaches nothing but its own network: a relay takes its requests to that one server, and answers exec, attach and
  logs of pods on the lab's nodes by itself. Whoever comes without a token of the lab has the rights that the server
  gives them, and no others. "lab down" takes the lab's nodes and the pods on them from that cluster; what else was
  created there stays. Credential plugins (exec) are not supported: use a kubeconfig with a token or a certificate.`

/** `sallyport lab …` */
export function labCommand(): Command {
  const lab = new Command('lab')
    .description('a whole cluster on this machine, in namespaces, for trying things out')
    .enablePositionalOptions()
    .hook('preAction', () => {
      const problem = rootProblem()
      if (problem !== undefined) throw new Error(problem)
    })
  const named = (command: Command): Command =>
    command.option('--name <name>', 'which lab; several can run side by side', 'lab')
  lab.addHelpText(
    'after',
    `
Examples:
  sallyport lab demo                         start a lab, walk the whole story, take it away
  sallyport lab up && sallyport lab shell    a cluster to type in: kubectl, docker and cilium are there
  sallyport lab exec kubectl get nodes       one command in it
  sallyport lab up --kubeconfig ~/kind.yaml  nodes of this machine for a cluster that exists already
  sallyport lab up --cni ptp                 with pods of another plugin, to which Sallyport is then chained:
                                             sallyport install --set cni.chainingMode=generic-veth
  sallyport lab up --dual-stack              with pods that have an IPv6 address, too
  sallyport lab up --runtime containerd      with containers of the image that "make image" built, by containerd and runc
  sallyport lab down                         take it away

What runs in a lab can reach the lab's own network and nothing else. Its files are this machine's: nodes, containers and
pods are root here and write where root may, except for folders of their own (/tmp; on nodes /etc, /opt and /run, too).
The shell is this machine's altogether, but for the network. Run nothing in a lab that you would not run beside it.`,
  )
  named(lab.command('up'))
    .description('start five nodes, an API server and what belongs to it; no network plugin is installed')
    .option('--kubeconfig <file>', 'join the API server that it names, instead of starting one')
    .option('--context <name>', 'which of the kubeconfig’s contexts; its current one by default')
    .addOption(
      new Option(
        '--controllers <whose>',
        'with --kubeconfig: auto starts the lab’s if none are at work there',
      )
        .choices(['auto', 'lab', 'none'])
        .default('auto'),
    )
    .addHelpText('after', joiningExplained)
    .addOption(
      new Option('--cni <plugin>', 'whose pods: sallyport waits for an install, the others are there already')
        .choices(['sallyport', ...otherPlugins])
        .default('sallyport'),
    )
    .addOption(
      new Option(
        '--runtime <name>',
        'what runs containers: processes starts them quickly with this machine’s files; containerd runs the image that "make image" built',
      )
        .choices([...runtimeNames])
        .default('processes'),
    )
    .option('--dual-stack', 'pods with an IPv6 address, too')
    .action(async ({ name, cni, runtime, dualStack: hasIPv6, ...joining }: { name: string } & Given) => {
      if (joining.context !== undefined && joining.kubeconfig === undefined)
        throw new Error('--context chooses in a kubeconfig: give --kubeconfig, too')
      if (hasIPv6 && cni !== 'sallyport')
        throw new Error(
          `--dual-stack: the lab gives IPv6 addresses to Sallyport’s pods only, not to those of ${cni}`,
        )
      const aborted = new AbortController()
      for (const signal of ['SIGINT', 'SIGTERM'] as const)
        process.on(signal, () => aborted.abort(new Error('interrupted; nothing is left behind')))
      await startLab({
        name,
        ...joining,
        cni: cni === 'sallyport' ? undefined : cni,
        runtime,
        nodes: hasIPv6 ? dualStack(walkthroughNodes) : walkthroughNodes,
        signal: aborted.signal,
        onProgress: (step) => print(`starting ${step} …`),
        onFinding: print,
      })
      print(`The lab is up. Type "${labVerb('shell', name)}" to work in it.`)
    })
  named(lab.command('shell'))
    .description('a shell in the lab, where the walkthrough’s commands work as they are')
    .action(({ name }: { name: string }) => {
      process.exitCode = openShell(requireLab(name))
    })
  named(lab.command('exec <command...>'))
    .description('run one command as if typed in the lab’s shell')
    .passThroughOptions()
    .action((command: string[], { name }: { name: string }) => {
      process.exitCode = execInherit(requireLab(name), command)
    })
  named(lab.command('status'))
    .description('what runs')
    .addOption(outputOption())
    .action(({ name, output }: { name: string; output?: string }) => {
      const state = requireLab(name)
      const machines = [...state.nodes, ...state.containers].map(({ name: each, machine }) => ({
        name: each,
        state: !isRunning(machine.init) ? 'gone' : isFrozen(machine.cgroup) ? 'paused' : 'running',
      }))
      const daemons = Object.entries(state.daemons).map(([each, daemon]) => ({
        name: each,
        state: isRunning(daemon) ? 'running' : 'gone',
      }))
      if (output === 'json')
        return print(
          JSON.stringify(
            { name, startedAt: state.startedAt, joined: state.joined?.server, machines, daemons },
            null,
            2,
          ),
        )
      if (state.joined !== undefined) print(`joined ${state.joined.server}`)
      for (const { name: each, state: how } of [...machines, ...daemons]) print(`${each.padEnd(28)}${how}`)
    })
  named(lab.command('down'))
    .description('take a lab away: processes, namespaces, files; also one that was only half started')
    .action(async ({ name }: { name: string }) => {
      if (loadLab(name) === undefined) return print(`There is no lab named ${name}.`)
      await stopLab(name)
      print('Nothing is left behind.')
    })
  lab
    .command('list')
    .description('the labs of this machine')
    .action(() => {
      for (const name of listLabs()) print(name)
    })
  lab
    .command('demo')
    .description('walk the story of an egress gateway, command by command, and check every answer')
    .action(async () => {
      process.exitCode = await runDemo(print)
    })
  return lab
}
