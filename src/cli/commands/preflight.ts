import type { Command } from 'commander'
import type { Finding } from '../../runtime/finding.ts'
import { askAgent, isInAgentPod } from '../agent-socket.ts'
import { outputOption } from '../options.ts'
import { print, printJson } from '../output.ts'

const collect = (value: string, before: string[]): string[] => [...before, value]

interface Options {
  readonly set: string[]
  readonly setJson: string[]
  readonly values?: string
  readonly output?: string
}

export function addPreflight(program: Command): void {
  program
    .command('preflight')
    .description(
      'what would keep an install from working, and what to do about it; in an agent’s pod, of its node',
    )
    .option('--set <path=value>', 'a setting of the install that is meant; again for more', collect, [])
    .option('--set-json <path=json>', 'such a setting that is a map or a list', collect, [])
    .option('-f, --values <file>', 'its settings as YAML')
    .addOption(outputOption())
    .action(async (options: Options) => {
      const findings = await (isInAgentPod() ? findOfNode() : findOfCluster(options))
      const { formatFindings } = await import('../../runtime/finding.ts')
      if (options.output === 'json') printJson(findings)
      else print(formatFindings(findings))
      if (findings.some(({ level }) => level === 'problem')) process.exitCode = 1
    })
}

async function findOfCluster(options: Options): Promise<readonly Finding[]> {
  const { cniKeys, configMapData, parseConfiguration } = await import('../../api/configuration.ts')
  const { renderInstall } = await import('../../api/manifests.ts')
  const { chosenNames, readSettings } = await import('../install.ts')
  const { withCluster } = await import('../cluster.ts')
  const { gatherClusterFacts } = await import('../preflight/facts.ts')
  const { judgeCluster } = await import('../preflight/judge.ts')
  const data = configMapData(await readSettings(options))
  const parsed = parseConfiguration(data)
  if (!parsed.ok) throw new Error(parsed.issues.join('; '))
  const manifests = renderInstall(data, chosenNames())
  const facts = await withCluster((client) => gatherClusterFacts(client, manifests))
  return judgeCluster(facts, { ...parsed.value, binaries: data[cniKeys.binaries] ?? '' })
}

/** The running agent's own settings; what it has on the node is ours. */
async function findOfNode(): Promise<readonly Finding[]> {
  const { configMapData, parseConfiguration } = await import('../../api/configuration.ts')
  const { gatherNodeFacts, judgeNode } = await import('../../agent/node-checks.ts')
  const { defaultObjectFile, defaultPinDirectory } = await import('../../datapath/datapath.ts')
  const { Netlink } = await import('../../datapath/netlink.ts')
  const parsed = parseConfiguration(configMapData(await askAgent<Record<string, string>>('/v1/config')))
  if (!parsed.ok) throw new Error(parsed.issues.join('; '))
  using netlink = new Netlink()
  return judgeNode(gatherNodeFacts(netlink, defaultPinDirectory, defaultObjectFile), parsed.value)
}
