import type { Command } from 'commander'
import type { CompatibleEgressRow, EgressView } from '../../agent/api/local-api.ts'
import { askAgent } from '../agent-socket.ts'
import { outputOption } from '../options.ts'
import { print, printJson } from '../output.ts'
import { addRelease } from './release.ts'
import { addServiceCommands } from './services.ts'

/** Commands that ask the agent of one node, inside its pod. */
export function addNodeCommands(program: Command): void {
  const bpf = program.command('bpf').description('in an agent’s pod: show the datapath’s tables on its node')
  addServiceCommands(program, bpf)
  bpf
    .command('egress')
    .description('show which pods use which egress IP and gateway')
    .command('list')
    .alias('ls')
    .description(
      'in an agent’s pod: print a row for each pod and destination, in the format of "cilium bpf egress list"',
    )
    .addOption(outputOption())
    .action(listTables)
  const egress = program
    .command('egress')
    .description('show which pods use which egress IP, or release an egress IP that no policy uses any more')
  addRelease(egress)
  egress
    .command('list')
    .alias('ls')
    .description(
      'in an agent’s pod: list the pods of its node that policies select; for each egress IP of a pod, show the gateway that answers for it now, the path to it, unreachable gateways, ports and flows',
    )
    .addOption(outputOption())
    .action(listEgress)
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
  if (views.length === 0) return void process.stderr.write('No policy selects a pod on this node.\n')
  const { formatColumns } = await import('../columns.ts')
  const header = [
    'Pod',
    'Destination',
    'Policy',
    'Egress IP',
    'New flows',
    'Holder',
    'Path',
    'Unreachable',
    'Ports',
    'Flows',
  ]
  print(formatColumns([header, ...views.flatMap(rowsOf)]))
}

function rowsOf({ pod, destination, policy, action, reason, egressIps }: EgressView): string[][] {
  const common = [`${pod.namespace}/${pod.name}`, destination, policy.name]
  if (egressIps.length === 0) {
    const texts = { drop: `dropped: ${reason}`, unserved: `not served: ${reason}` } as const
    const text = action === 'drop' || action === 'unserved' ? texts[action] : 'node address'
    return [[...common, text, '', '', '', '', '', '']]
  }
  return egressIps.map(({ address, holder, path, order, unreachable, takesNewFlows, portsOwned, flows }) => [
    ...common,
    address,
    takesNewFlows ? 'yes' : 'no',
    unreachable.length < order.length ? (holder ?? 'none') : 'none',
    path ?? '-',
    unreachable.join(',') || '-',
    String(portsOwned),
    String(flows),
  ])
}
