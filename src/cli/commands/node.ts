import type { Command } from 'commander'
import type { CompatibleEgressRow, DropEvent, EgressView } from '../../agent/api/local-api.ts'
import { askAgent, followAgent } from '../agent-socket.ts'
import { outputOption } from '../options.ts'
import { print, printJson } from '../output.ts'

/** What one node's agent tells, asked in its pod. */
export function addNodeCommands(program: Command): void {
  program
    .command('bpf')
    .description('in an agent’s pod: the datapath’s tables of its node')
    .command('egress')
    .description('which pods leave by which gateway')
    .command('list')
    .alias('ls')
    .description('the view that users of the compatible policies know')
    .addOption(outputOption())
    .action(listTables)
  program
    .command('egress')
    .description('in an agent’s pod: what leaves its node by which address')
    .command('list')
    .alias('ls')
    .description('pods of this node, their policies, egress IPs, holders, ports and flows')
    .addOption(outputOption())
    .action(listEgress)
  program
    .command('drops')
    .alias('monitor')
    .description('in an agent’s pod: packets of its node, as they are dropped')
    .addOption(outputOption('json: one object a line'))
    .action(followDrops)
}

interface Options {
  readonly output?: string
}

async function listTables({ output }: Options): Promise<void> {
  const rows = await askAgent<CompatibleEgressRow[]>('/v1/bpf/egress')
  if (output === 'json') return printJson(rows)
  if (rows.length === 0) return void process.stderr.write('No entries found.\n')
  const { formatColumns } = await import('../columns.ts')
  const cells = rows.map(({ SourceIP, DestCIDR, EgressIP, GatewayIP }) => [
    SourceIP,
    DestCIDR,
    EgressIP,
    GatewayIP,
  ])
  print(formatColumns([['Source IP', 'Destination CIDR', 'Egress IP', 'Gateway IP'], ...cells]))
}

async function listEgress({ output }: Options): Promise<void> {
  const views = await askAgent<EgressView[]>('/v1/egress')
  if (output === 'json') return printJson(views)
  if (views.length === 0) return void process.stderr.write('No pod of this node is selected by a policy.\n')
  const { formatColumns } = await import('../columns.ts')
  const header = [
    'Pod',
    'Destination',
    'Policy',
    'Egress IP',
    'New flows',
    'Answers now',
    'Unreachable',
    'Ports',
    'Flows',
  ]
  print(formatColumns([header, ...views.flatMap(rowsOf)]))
}

function rowsOf({ pod, destination, policy, action, reason, egressIps }: EgressView): string[][] {
  const common = [`${pod.namespace}/${pod.name}`, destination, policy.name]
  if (egressIps.length === 0)
    return [[...common, action === 'drop' ? `dropped: ${reason}` : "the node's own", '', '', '', '', '']]
  return egressIps.map(({ address, holder, order, unreachable, takesNewFlows, portsOwned, flows }) => [
    ...common,
    address,
    takesNewFlows ? 'yes' : 'no',
    unreachable.length < order.length ? (holder ?? 'none') : 'none',
    unreachable.join(',') || '-',
    String(portsOwned),
    String(flows),
  ])
}

/** Records that nobody has read wait in the kernel: they come first, and may be old. */
async function followDrops({ output }: Options): Promise<void> {
  const startedAt = Date.now()
  let age: 'none' | 'earlier' | 'new' = 'none'
  const note = (text: string): void => void (output !== 'json' && process.stderr.write(`${text}\n`))
  for await (const drop of followAgent<DropEvent>('/v1/drops')) {
    const isEarlier = Date.parse(drop.time) < startedAt
    if (isEarlier && age === 'none') note('Earlier drops, which nobody had read:')
    if (!isEarlier && age === 'earlier') note('Drops from now on:')
    age = isEarlier ? 'earlier' : 'new'
    print(output === 'json' ? JSON.stringify(drop) : lineOf(drop))
  }
}

function lineOf({ time, program, protocol, source, destination, reason, verdict }: DropEvent): string {
  return `${time}   ${program}   ${protocol} ${source} -> ${destination}   ${reason} (${verdict})`
}
