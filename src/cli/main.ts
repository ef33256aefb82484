import { Command, CommanderError } from 'commander'
import type { AgentStatus, CompatibleEgressRow, DropEvent, EgressView } from '../agent/local-api.ts'
import { version } from '../api/version.ts'
import type { KubeClient, KubeObject } from '../kube/client.ts'
import { askAgent, followAgent, hasAgent } from './agent-socket.ts'
import { Complaint } from './complaint.ts'

/** What a person types. Each command loads what it needs when it runs: most of them must answer at once. */
const print = (text: string): void => void process.stdout.write(`${text}\n`)
const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2))
const collect = (value: string, before: string[]): string[] => [...before, value]
const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

interface InstallOptions {
  readonly set: string[]
  readonly values?: string
  readonly dryRun?: boolean
  readonly to?: string
  readonly wait?: boolean
}

const program = new Command('sallyport')
  .description(
    'Pods leave the cluster from addresses that you chose, and keep leaving from them when a gateway dies.',
  )
  .showHelpAfterError('(--help explains)')
  .showSuggestionAfterError()
  .exitOverride()
  .enablePositionalOptions()
  .addHelpText(
    'after',
    `
Examples:
  sallyport install --set devices="{eth+,net+}"     install into the cluster of your kubeconfig
  sallyport status --wait                           wait until all is well
  kubectl -n kube-system exec -ti POD -- sallyport bpf egress list
  sallyport lab demo                                see all of it on this machine`,
  )

program
  .command('install')
  .description('install or change Sallyport in the cluster of your kubeconfig')
  .option('--set <path=value>', 'a setting; again for more', collect, [])
  .option('-f, --values <file>', 'settings as YAML')
  .option('--dry-run', 'print what would be applied, as YAML')
  .option('--to <folder>', 'write it there for kubectl apply -k, and apply nothing')
  .option('--wait', 'until all is well')
  .action(async (options: InstallOptions) => {
    const { applyManifest, describe, planInstall } = await import('./install.ts')
    const manifests = await planInstall(options.set, options.values)
    if (options.dryRun || options.to !== undefined) {
      const { toYaml, writeKustomization } = await import('./kustomization.ts')
      if (options.to === undefined) return void process.stdout.write(toYaml(manifests))
      return print(writeKustomization(options.to, manifests).join('\n'))
    }
    const { withCluster } = await import('./cluster.ts')
    await withCluster(async (client) => {
      for (const manifest of manifests)
        print(`${describe(manifest)} ${await applyManifest(client, manifest)}`)
    })
    print('Installed. "sallyport status --wait" tells when all agents are ready.')
    if (options.wait) await waitUntilWell(300_000)
  })

program
  .command('uninstall')
  .description('remove Sallyport; definitions and policies stay unless --purge is given')
  .option('--purge', 'remove our definitions, too, and with them every policy of these kinds')
  .action(async ({ purge = false }: { purge?: boolean }) => {
    const { describe, planUninstall, removeManifest } = await import('./install.ts')
    const { withCluster } = await import('./cluster.ts')
    await withCluster(async (client) => {
      for (const manifest of planUninstall()) {
        const removal = await removeManifest(client, manifest, purge)
        if (removal !== 'not there') print(`${describe(manifest)} ${removal}`)
      }
    })
  })

program
  .command('status')
  .description('how the cluster’s install is; in an agent’s pod, how that agent is')
  .option('--wait', 'until all is well; exit code 1 if it is not in time')
  .option('--wait-duration <time>', 'how long to wait, as in 90s or 5m', '5m')
  .option('-o, --output <format>', 'json for machines')
  .action(async (options: { wait?: boolean; waitDuration: string; output?: string }) => {
    if (hasAgent() && process.env.KUBECONFIG === undefined) return printAgentStatus(options.output)
    const { parseDuration } = await import('../api/configuration.ts')
    const waitMs = parseDuration(options.waitDuration)
    if (waitMs === undefined)
      throw new Complaint(`${options.waitDuration} is no duration: write 90s or 5m`, 2)
    await waitUntilWell(options.wait ? waitMs : 0, options.output)
  })

async function printAgentStatus(output: string | undefined): Promise<void> {
  const status = await askAgent<AgentStatus>('/v1/status')
  if (output === 'json') return printJson(status)
  const { formatAgentStatus } = await import('./agent-status.ts')
  print(formatAgentStatus(status, await askAgent('/v1/config')))
}

async function waitUntilWell(waitMs: number, output?: string): Promise<void> {
  const { formatClusterStatus, readClusterStatus } = await import('./cluster-status.ts')
  const { withCluster } = await import('./cluster.ts')
  const until = Date.now() + waitMs
  const status = await withCluster(async (client) => {
    for (;;) {
      const status = await readClusterStatus(client)
      if (status.isWell || Date.now() >= until) return status
      await sleep(500)
    }
  })
  if (output === 'json') printJson(status)
  else print(formatClusterStatus(status))
  if (!status.isWell) process.exitCode = 1
}

program
  .command('config')
  .description('the configuration in force')
  .command('view')
  .description('print it, a key a line')
  .action(async () => {
    const { formatColumns } = await import('./columns.ts')
    const config =
      hasAgent() && process.env.KUBECONFIG === undefined
        ? await askAgent<Record<string, string>>('/v1/config')
        : await (await import('./cluster.ts')).withCluster(readConfigMap)
    print(formatColumns(Object.entries(config).sort(([a], [b]) => (a < b ? -1 : 1))))
  })

async function readConfigMap(client: KubeClient): Promise<Record<string, string>> {
  const { configMapName, namespace } = await import('../api/manifests.ts')
  const { coreResource } = await import('../kube/cluster-objects.ts')
  const { isNotFound } = await import('../kube/kube-error.ts')
  const configMaps = client.resource<KubeObject & { readonly data?: Record<string, string> }>(
    coreResource('configmaps', true),
  )
  try {
    return (await configMaps.get(configMapName, namespace)).data ?? {}
  } catch (error) {
    if (isNotFound(error)) throw new Complaint('Sallyport is not installed: run "sallyport install"')
    throw error
  }
}

program
  .command('bpf')
  .description('the datapath’s tables of this node')
  .command('egress')
  .description('which pods leave by which gateway')
  .command('list')
  .alias('ls')
  .description('the view that users of the compatible policies know')
  .option('-o, --output <format>', 'json for machines')
  .action(async ({ output }: { output?: string }) => {
    const rows = await askAgent<CompatibleEgressRow[]>('/v1/bpf/egress')
    if (output === 'json') return printJson(rows)
    if (rows.length === 0) return void process.stderr.write('No entries found.\n')
    const { formatColumns } = await import('./columns.ts')
    const cells = rows.map(({ SourceIP, DestCIDR, EgressIP, GatewayIP }) => [
      SourceIP,
      DestCIDR,
      EgressIP,
      GatewayIP,
    ])
    print(formatColumns([['Source IP', 'Destination CIDR', 'Egress IP', 'Gateway IP'], ...cells]))
  })

program
  .command('egress')
  .description('what is really there')
  .command('list')
  .alias('ls')
  .description('pods of this node, their policies, egress IPs, holders, ports and flows')
  .option('-o, --output <format>', 'json for machines')
  .action(async ({ output }: { output?: string }) => {
    const views = await askAgent<EgressView[]>('/v1/egress')
    if (output === 'json') return printJson(views)
    if (views.length === 0) return void process.stderr.write('No pod of this node is selected by a policy.\n')
    const { formatColumns } = await import('./columns.ts')
    const rows = views.flatMap(({ pod, destination, policy, action, reason, egressIps }) => {
      const common = [`${pod.namespace}/${pod.name}`, destination, policy.name]
      if (egressIps.length === 0)
        return [[...common, action === 'drop' ? `dropped: ${reason}` : "the node's own", '', '', '']]
      return egressIps.map(({ address, holder, portsOwned, flows }) => [
        ...common,
        address,
        holder ?? 'nobody',
        String(portsOwned),
        String(flows),
      ])
    })
    print(formatColumns([['Pod', 'Destination', 'Policy', 'Egress IP', 'Holder', 'Ports', 'Flows'], ...rows]))
  })

program
  .command('drops')
  .alias('monitor')
  .description('dropped packets of this node, as they are dropped')
  .option('-o, --output <format>', 'json: one object a line')
  .action(async ({ output }: { output?: string }) => {
    for await (const drop of followAgent<DropEvent>('/v1/drops'))
      print(
        output === 'json'
          ? JSON.stringify(drop)
          : `${drop.time}   ${drop.program}   ${drop.protocol} ${drop.source} -> ${drop.destination}   ${drop.reason}`,
      )
  })

program
  .command('version')
  .description('the version of this command')
  .option('-o, --output <format>', 'json for machines')
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
