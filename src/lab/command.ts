import { Command, Option } from 'commander'
import { outputOption } from '../cli/options.ts'
import { type LabOptions, startLab, stopLab } from './lab.ts'
import { labVerb, listLabs, loadLab, type RuntimeName, requireLab, runtimeNames } from './lab-state.ts'
import { dualStack, walkthroughNodes } from './layout.ts'
import { isFrozen, isRunning } from './machines/machine.ts'
import { type OtherPlugin, otherPlugins } from './machines/other-network.ts'
import { rootProblem } from './requirements.ts'
import { execInherit, openShell } from './shell.ts'
import { runDemo } from './walkthrough/demo.ts'
import { steps } from './walkthrough/steps.ts'

const print = (text: string): void => void process.stdout.write(`${text}\n`)

type UpOptions = Pick<LabOptions, 'kubeconfig' | 'context' | 'controllers'> & {
  readonly cni: 'sallyport' | OtherPlugin
  readonly dualStack?: boolean
  readonly runtime: RuntimeName
}

const joiningHelp = `
Joining a cluster:
  sallyport lab up --kubeconfig ~/kind.yaml --context kind-kind

  The lab's nodes register in that cluster, and "kubectl" in the lab's shell acts as the kubeconfig's user. The lab
  itself still reaches only its own network. A relay forwards its requests to that one API server. The relay answers
  exec, attach and logs of pods on the lab's nodes itself. It sends a request with the rights of the kubeconfig only
  if the request has a token that the lab issued. It adds no rights to other requests. "lab down" deletes the lab's
  nodes, and the pods on them, from that cluster. Everything else that you created there stays. Credential plugins
  (exec) are not supported: use a kubeconfig with a token or a client certificate.`

const examples = `
Examples:
  sallyport lab demo                         start a lab, show an egress gateway in it, and remove the lab. In a terminal,
                                             the page of the lab is shown first, until you press ctrl-C
  sallyport lab up && sallyport lab shell    start a lab and open a shell in it, with kubectl, docker and cilium
  sallyport lab exec kubectl get nodes       run one command in the lab
  sallyport lab up --kubeconfig ~/kind.yaml  add nodes on this machine to an existing cluster
  sallyport lab up --cni ptp                 start a lab with another CNI plugin. To chain Sallyport to it, run in the lab:
                                             sallyport install --set cni.chainingMode=generic-veth
  sallyport lab up --dual-stack              start a lab whose pods have IPv4 and IPv6 addresses
  sallyport lab up --runtime containerd      run the image that "make image" built, with containerd and runc
  sallyport lab down                         stop and remove the lab

Processes in a lab reach only the lab's own network. They use the files of this machine: nodes, containers and pods run
as root here and can write wherever root can. Only /tmp is their own, and on nodes also /etc, /opt and /run. The lab's
shell differs from a shell on this machine only in its network. Run nothing in a lab that you would not run as root here.`

/** `sallyport lab …` */
export function labCommand(): Command {
  const lab = new Command('lab')
    .description('run a whole cluster on this machine, in namespaces, to try Sallyport')
    .enablePositionalOptions()
    .addHelpText('after', examples)
    .hook('preAction', () => {
      const problem = rootProblem()
      if (problem !== undefined) throw new Error(problem)
    })
  addUp(lab)
  addShell(lab)
  addStatus(lab)
  addDown(lab)
  lab
    .command('list')
    .description('list the labs on this machine')
    .action(() => {
      for (const name of listLabs()) print(name)
    })
  lab
    .command('demo')
    .description('show an egress gateway in a lab, command by command, and check every answer')
    .action(async () => {
      process.exitCode = await runDemo(print, steps, process.stdin.isTTY && process.stdout.isTTY)
    })
  return lab
}

const named = (lab: Command, usage: string): Command =>
  lab.command(usage).option('--name <name>', 'the name of the lab; several labs can run side by side', 'lab')

function addUp(lab: Command): void {
  named(lab, 'up')
    .description('start five nodes, an API server and controllers; by default without a CNI plugin')
    .option('--kubeconfig <file>', 'join the cluster of this kubeconfig, instead of starting an API server')
    .option('--context <name>', 'the context of the kubeconfig; by default its current context')
    .addOption(
      new Option(
        '--controllers <whose>',
        'with --kubeconfig: start the lab’s controllers always (lab), never (none), or if the cluster runs none (auto)',
      )
        .choices(['auto', 'lab', 'none'])
        .default('auto'),
    )
    .addHelpText('after', joiningHelp)
    .addOption(
      new Option(
        '--cni <plugin>',
        'the CNI plugin of the cluster; with sallyport, you install it later; any other plugin is installed now',
      )
        .choices(['sallyport', ...otherPlugins])
        .default('sallyport'),
    )
    .addOption(
      new Option(
        '--runtime <name>',
        'how nodes run containers: processes is quick and uses this machine’s files; containerd runs the image that "make image" built',
      )
        .choices([...runtimeNames])
        .default('processes'),
    )
    .option('--dual-stack', 'give pods an IPv6 address as well')
    .action(up)
}

async function up({
  name,
  cni,
  runtime,
  dualStack: hasIPv6,
  ...joining
}: { name: string } & UpOptions): Promise<void> {
  if (joining.context !== undefined && joining.kubeconfig === undefined)
    throw new Error('--context selects a context of a kubeconfig: add --kubeconfig')
  if (hasIPv6 && cni !== 'sallyport')
    throw new Error(
      `--dual-stack cannot be combined with --cni ${cni}: the lab supports IPv6 only for Sallyport’s pods`,
    )
  const aborted = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.on(signal, () => aborted.abort(new Error('interrupted: nothing is left behind')))
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
  print(`The lab is running. To open a shell in it, run "${labVerb('shell', name)}".`)
}

function addShell(lab: Command): void {
  named(lab, 'shell')
    .description('open a shell in the lab, where the commands that "lab demo" prints work unchanged')
    .action(({ name }: { name: string }) => {
      process.exitCode = openShell(requireLab(name))
    })
  named(lab, 'exec <command...>')
    .description('run one command as in the lab’s shell')
    .passThroughOptions()
    .action((command: string[], { name }: { name: string }) => {
      process.exitCode = execInherit(requireLab(name), command)
    })
}

function addStatus(lab: Command): void {
  named(lab, 'status')
    .description('show which nodes, containers and daemons of the lab run')
    .addOption(outputOption())
    .action(({ name, output }: { name: string; output?: string }) => {
      const state = requireLab(name)
      const machines = [...state.nodes, ...state.containers].map(({ name: each, machine }) => ({
        name: each,
        state: !isRunning(machine.init) ? 'stopped' : isFrozen(machine.cgroup) ? 'paused' : 'running',
      }))
      const daemons = Object.entries(state.daemons).map(([each, daemon]) => ({
        name: each,
        state: isRunning(daemon) ? 'running' : 'stopped',
      }))
      if (output === 'json')
        return print(
          JSON.stringify(
            { name, startedAt: state.startedAt, joined: state.joined?.server, machines, daemons },
            null,
            2,
          ),
        )
      if (state.joined !== undefined) print(`API server: ${state.joined.server}`)
      for (const { name: each, state: how } of [...machines, ...daemons]) print(`${each.padEnd(28)}${how}`)
    })
}

function addDown(lab: Command): void {
  named(lab, 'down')
    .description(
      'stop the lab, and remove its processes, namespaces and files, even if it started only partly',
    )
    .action(async ({ name }: { name: string }) => {
      if (loadLab(name) === undefined) return print(`There is no lab named ${name}.`)
      await stopLab(name)
      print('Nothing is left behind.')
    })
}
