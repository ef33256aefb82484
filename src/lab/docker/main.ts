import { Command } from 'commander'
import { version } from '../../api/version.ts'
import { leaveWithReader } from '../../runtime/closed-pipe.ts'
import { type LabState, requireLab } from '../lab-state.ts'
import { images } from '../programs/images.ts'
import { dockerExec, dockerPause, dockerRemove, dockerRun, dockerStart, dockerStop } from './docker.ts'
import { containerLog, inspectContainer, inspectNetwork, listContainers } from './inspect.ts'
import { renderTemplate } from './template.ts'

leaveWithReader()

/** `docker` inside a lab. There is no container engine: nodes and containers are namespaces of this machine. */
const state = requireLab(process.env.SALLYPORT_LAB ?? 'lab')
const collect = (value: string, before: string[]): string[] => [...before, value]
const print = (text: string): void => void process.stdout.write(`${text}\n`)
const printInspected = (objects: readonly object[], format: string | undefined): void => {
  if (format === undefined) print(JSON.stringify(objects, null, 4))
  else for (const object of objects) print(renderTemplate(format, object))
}

const docker = new Command('docker')
  .description(
    'Manages the nodes and containers of the lab. Supports only the commands that the walkthrough uses.',
  )
  .enablePositionalOptions()
  .showHelpAfterError('("docker --help" lists the commands that the lab’s docker supports)')

docker
  .command('exec <container> <command...>')
  .description('run a command in a node or container')
  .option('-i, --interactive')
  .option('-t, --tty')
  .option('-d, --detach', 'do not wait for the command')
  .option('-e, --env <name=value>', 'set an environment variable', collect, [])
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
  .option('--network <network>', 'the lab has only the network kind', 'kind')
  .option('-e, --env <name=value>', 'set an environment variable', collect, [])
  .passThroughOptions()
  .action(
    async (
      image: string,
      command: string[],
      options: { detach?: boolean; name?: string; network: string; env: string[] },
    ) => {
      if (!options.detach) throw new Error('docker: the lab runs containers only in the background: add -d')
      if (options.network !== 'kind')
        throw new Error(
          `docker: Error response from daemon: network ${options.network} not found: use the network kind`,
        )
      print(await dockerRun(state, { name: options.name, image, environment: options.env, command }))
    },
  )

docker
  .command('inspect <names...>')
  .description('show the details of a node or container')
  .option('-f, --format <template>')
  .action((names: string[], { format }: { format?: string }) =>
    printInspected(
      names.map((name) => inspectContainer(state, name)),
      format,
    ),
  )

const networks = docker.command('network').description('show the lab’s network')
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
  .description('list nodes and containers')
  .option('-a, --all', 'list exited ones as well')
  .option('-q, --quiet', 'print only ids')
  .action(({ all, quiet }: { all?: boolean; quiet?: boolean }) => {
    const listed = listContainers(state, all ?? false)
    if (!quiet) print('CONTAINER ID   IMAGE                                          STATUS        NAMES')
    for (const { id, image, status, name } of listed)
      print(quiet ? id : `${id}   ${image.padEnd(44)}   ${status.padEnd(11)}   ${name}`)
  })

docker
  .command('images')
  .description('list the images of the lab')
  .action(() => {
    for (const { name, about } of images) print(`${name.padEnd(44)}   ${about}`)
  })

docker
  .command('version')
  .description('print the version')
  .action(() =>
    print(`The docker of Sallyport’s lab, ${version}. It supports only the commands of "docker --help".`),
  )

for (const [verb, isPaused] of [
  ['pause', true],
  ['unpause', false],
] as const)
  docker
    .command(`${verb} <names...>`)
    .description(
      isPaused ? 'freeze every process of a node or container' : 'resume a frozen node or container',
    )
    .action((names: string[]) => {
      for (const name of names) print(dockerPause(state, name, isPaused))
    })

const stopTimeoutMs = 10_000

/** Commands for containers, not for nodes. Each name reads the lab's state again, because the command before may have changed it. */
const verbs: readonly (readonly [
  string,
  string,
  (lab: LabState, name: string) => string | Promise<string>,
])[] = [
  [
    'stop',
    'stop containers, and kill them after ten seconds',
    (lab, name) => dockerStop(lab, name, stopTimeoutMs),
  ],
  ['kill', 'kill containers', (lab, name) => dockerStop(lab, name, 0)],
  ['start', 'start stopped containers', dockerStart],
  [
    'restart',
    'stop containers and start them again',
    async (lab, name) => dockerStart(lab, await dockerStop(lab, name, stopTimeoutMs)),
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
  .option('-f, --force', 'kill running containers first')
  .action(async (names: string[], { force }: { force?: boolean }) => {
    for (const name of names) print(await dockerRemove(requireLab(state.name), name, force ?? false))
  })

docker
  .command('logs <name>')
  .description('print the log of a container, or of a node’s kubelet')
  .option('-f, --follow', 'keep printing new lines')
  .action((name: string, { follow }: { follow?: boolean }) => {
    const words = ['tail', '--lines=+1', ...(follow ? ['--follow'] : []), containerLog(state, name)]
    /* tail replaces this process, so that it ends with this command. */
    process.execve?.('/usr/bin/env', ['env', ...words], process.env)
  })

try {
  await docker.parseAsync()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
