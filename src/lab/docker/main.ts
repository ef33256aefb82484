import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { leaveWithReader } from '../../runtime/closed-pipe.ts'
import { requireLab } from '../lab-state.ts'
import {
  containerLog,
  dockerExec,
  dockerPause,
  dockerRemove,
  dockerRun,
  inspectContainer,
  inspectNetwork,
  listContainers,
} from './docker.ts'
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
  .showHelpAfterError()

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
  .option('-a, --all')
  .action(() => {
    print('CONTAINER ID   IMAGE                                          STATUS        NAMES')
    for (const { id, image, status, name } of listContainers(state))
      print(`${id}   ${image.padEnd(44)}   ${status.padEnd(11)}   ${name}`)
  })

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

docker
  .command('rm <names...>')
  .description('end and remove containers')
  .option('-f, --force')
  .action(async (names: string[], { force }: { force?: boolean }) => {
    for (const name of names) print(await dockerRemove(requireLab(state.name), name, force ?? false))
  })

docker
  .command('logs <name>')
  .description('what a container has printed')
  .action((name: string) => {
    process.stdout.write(readFileSync(containerLog(state, name), 'utf8'))
  })

try {
  await docker.parseAsync()
} catch (error) {
  console.error(error instanceof Error ? error.message : error)
  process.exitCode = 1
}
