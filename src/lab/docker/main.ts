import { Command } from 'commander'
import { version } from '../../api/version.ts'
import { leaveWithReader } from '../../runtime/closed-pipe.ts'
import { images } from '../images.ts'
import { type LabState, requireLab } from '../lab-state.ts'
import { dockerExec, dockerPause, dockerRemove, dockerRun, dockerStart, dockerStop } from './docker.ts'
import { containerLog, inspectContainer, inspectNetwork, listContainers } from './inspect.ts'
import { renderTemplate } from './template.ts'

leaveWithReader()

/** `docker` inside a lab: no engine runs; nodes and containers are namespaces of this machine. */
const state = requireLab(process.env.SALLYPORT_LAB ?? 'lab')
const collect = (value: string, before: string[]): string[] => [...before, value]
const print = (text: string): void => void process.stdout.write(`${text}\n`)
const printInspected = (objects: readonly object[], format: string | undefined): void => {
  if (format === undefined) print(JSON.stringify(objects, null, 4))
  else for (const object of objects) print(renderTemplate(format, object))
}

const docker = new Command('docker')
  .description("The lab's nodes and containers, by the verbs that walkthroughs use.")
  .enablePositionalOptions()
  .showHelpAfterError('("docker --help" lists what the lab’s docker knows)')

docker
  .command('exec <container> <command...>')
  .description('run a command in a node or container')
  .option('-i, --interactive')
  .option('-t, --tty')
  .option('-d, --detach', 'go on without waiting for it')
  .option('-e, --env <pair>', 'a variable', collect, [])
  .passThroughOptions()
  .action((container: string, command: string[], { env, detach }: { env: string[]; detach?: boolean }) => {
    const options = { environment: env, isDetached: detach ?? false }
    process.exitCode = dockerExec(state, container, command, options)
  })

docker
  .command('run <image> [command...]')
  .description('start a container on the lab’s network')
  .option('-d, --detach')
  .option('--name <name>')
  .option('--network <network>', 'only kind', 'kind')
  .option('-e, --env <pair>', 'a variable', collect, [])
  .passThroughOptions()
  .action(
    async (
      image: string,
      command: string[],
      options: { detach?: boolean; name?: string; network: string; env: string[] },
    ) => {
      if (!options.detach) throw new Error('docker: here containers run in the background: add -d')
      if (options.network !== 'kind')
        throw new Error(
          `docker: Error response from daemon: network ${options.network} not found; the lab has kind`,
        )
      print(await dockerRun(state, { name: options.name, image, environment: options.env, command }))
    },
  )

docker
  .command('inspect <names...>')
  .description('what is known of a node or container')
  .option('-f, --format <template>')
  .action((names: string[], { format }: { format?: string }) =>
    printInspected(
      names.map((name) => inspectContainer(state, name)),
      format,
    ),
  )

const networks = docker.command('network').description('the lab’s network')
networks
  .command('inspect <names...>')
  .option('-f, --format <template>')
  .action((names: string[], { format }: { format?: string }) =>
    printInspected(
      names.map((name) => inspectNetwork(state, name)),
      format,
    ),
  )
networks.command('ls').action(() => print('NAME   DRIVER\nkind   bridge'))

docker
  .command('ps')
  .description('nodes and containers')
  .option('-a, --all', 'those that have ended, too')
  .option('-q, --quiet', 'their ids')
  .action(({ all, quiet }: { all?: boolean; quiet?: boolean }) => {
    const listed = listContainers(state, all ?? false)
    if (!quiet) print('CONTAINER ID   IMAGE                                          STATUS        NAMES')
    for (const { id, image, status, name } of listed)
      print(quiet ? id : `${id}   ${image.padEnd(44)}   ${status.padEnd(11)}   ${name}`)
  })

docker
  .command('images')
  .description('what containers and pods can be made of')
  .action(() => {
    for (const { name, about } of images) print(`${name.padEnd(44)}   ${about}`)
  })

docker
  .command('version')
  .description('what this is')
  .action(() =>
    print(`The docker of Sallyport’s lab, ${version}: no engine, only the verbs of "docker --help".`),
  )

for (const [verb, isPaused] of [
  ['pause', true],
  ['unpause', false],
] as const)
  docker
    .command(`${verb} <names...>`)
    .description(isPaused ? 'freeze every process of a node or container' : 'let them go on')
    .action((names: string[]) => {
      for (const name of names) print(dockerPause(state, name, isPaused))
    })

const stopPatienceMs = 10_000

/** Of containers; nodes are the lab's own. Each finds the lab as the one before has left it. */
const verbs: readonly (readonly [
  string,
  string,
  (lab: LabState, name: string) => string | Promise<string>,
])[] = [
  [
    'stop',
    'ask containers to end, and force them after ten seconds',
    (lab, name) => dockerStop(lab, name, stopPatienceMs),
  ],
  ['kill', 'end containers', (lab, name) => dockerStop(lab, name, 0)],
  ['start', 'start containers that have ended', dockerStart],
  [
    'restart',
    'stop containers and start them',
    async (lab, name) => dockerStart(lab, await dockerStop(lab, name, stopPatienceMs)),
  ],
]
for (const [verb, about, act] of verbs)
  docker
    .command(`${verb} <names...>`)
    .description(about)
    .action(async (names: string[]) => {
      for (const name of names) print(await act(requireLab(state.name), name))
    })

docker
  .command('rm <names...>')
  .description('remove containers')
  .option('-f, --force', 'end them first')
  .action(async (names: string[], { force }: { force?: boolean }) => {
    for (const name of names) print(await dockerRemove(requireLab(state.name), name, force ?? false))
  })

docker
  .command('logs <name>')
  .description('what a container has printed, and a node’s kubelet')
  .option('-f, --follow', 'and what it goes on to print')
  .action((name: string, { follow }: { follow?: boolean }) => {
    const words = ['tail', '--lines=+1', ...(follow ? ['--follow'] : []), containerLog(state, name)]
    /* In our place: whoever ends this command ends what follows the log. */
    process.execve?.('/usr/bin/env', ['env', ...words], process.env)
  })

try {
  await docker.parseAsync()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
