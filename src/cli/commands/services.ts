import type { Command } from 'commander'
import type { ServiceView } from '../../agent/api/local-api.ts'
import { endText } from '../../net/address.ts'
import { askAgent } from '../agent-socket.ts'
import { outputOption } from '../options.ts'
import { print, printJson } from '../output.ts'

/** Commands that show which Services an agent's node translates. `bpf` is the command of that name. */
export function addServiceCommands(program: Command, bpf: Command): void {
  program
    .command('service')
    .description('in an agent’s pod: show the Services that its node translates')
    .command('list')
    .alias('ls')
    .description(
      'in an agent’s pod: list the Services that its node translates, with their endpoints, in the format of "cilium service list"',
    )
    .addOption(outputOption())
    .action(list(formatServices))
  bpf
    .command('lb')
    .description('in an agent’s pod: show the table of Services')
    .command('list')
    .alias('ls')
    .description('in an agent’s pod: print the table of Services, in the format of "cilium bpf lb list"')
    .addOption(outputOption())
    .action(list(formatTable))
}

const list =
  (format: (views: readonly ServiceView[]) => readonly (readonly string[])[]) =>
  async ({ output }: { readonly output?: string }): Promise<void> => {
    const views = await askAgent<ServiceView[]>('/v1/services')
    if (output === 'json') return printJson(views)
    if (views.length === 0) return void process.stderr.write('This node translates no Services.\n')
    const { formatColumns } = await import('../columns.ts')
    print(formatColumns(format(views)))
  }

/** A row for each endpoint. The Service is named in the first one. */
function formatServices(views: readonly ServiceView[]): string[][] {
  return [
    ['ID', 'Frontend', 'Service Type', 'Backend', 'Service'],
    ...views.flatMap((view) => {
      const [first, ...others] = view.endpoints.map(
        ({ address, port, state }, index) => `${index + 1} => ${endText(address, port)} (${state})`,
      )
      const own = [String(view.id), `${endText(view.address, view.port)}/${view.protocol}`, view.kind]
      return [[...own, first ?? '', view.service], ...others.map((other) => ['', '', '', other, ''])]
    }),
  ]
}

function formatTable(views: readonly ServiceView[]): string[][] {
  return [
    ['SERVICE ADDRESS', 'BACKEND ADDRESS (REVNAT_ID) (SLOT)'],
    ...views.flatMap(({ id, kind, address, port, protocol, affinitySeconds, clients, endpoints }) => {
      const frontend = `${endText(address, port)}/${protocol}`
      const options = [
        kind,
        ...(clients === undefined ? ['non-routable'] : []),
        ...(clients === 'Local' ? ['Local'] : []),
        ...(affinitySeconds > 0 ? ['sessionAffinity'] : []),
      ]
      const active = endpoints.filter(({ state }) => state === 'active')
      return [
        [`${frontend} (0)`, `0.0.0.0:0 (${id}) (0) [${options.join(', ')}]`],
        ...active.map((each, index) => [
          `${frontend} (${index + 1})`,
          `${endText(each.address, each.port)} (${id}) (${index + 1})`,
        ]),
      ]
    }),
  ]
}
