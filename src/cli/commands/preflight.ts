import type { Command } from 'commander'
import type { Finding } from '../../runtime/finding.ts'
import { askAgent, isInAgentPod } from '../agent-socket.ts'
import type { GivenSettings } from '../install/install.ts'
import { outputOption, takeSettings } from '../options.ts'
import { print, printJson } from '../output.ts'

/** A cluster's API server says little about its nodes. */
const notRead =
  'Not checked: devices and rules of the nodes (nftables, IPsec policies, routing rules). After the install, run "sallyport preflight" in an agent’s pod. It names the rules of the node that do not apply to egress traffic.'

interface Options extends GivenSettings {
  readonly output?: string
}

export function addPreflight(program: Command): void {
  takeSettings(program.command('preflight'))
    .description(
      'Check whether Sallyport can be installed in the cluster of your kubeconfig, and print what to change. In an agent’s pod, check the node of that pod. The exit code is 1 if there are problems. The settings are listed by "install --help".',
    )
    .summary(
      'check whether Sallyport can be installed, and print what to change; in an agent’s pod, check its node',
    )
    .addOption(outputOption())
    .action(async (options: Options) => {
      const findings = await (isInAgentPod()
        ? askAgent<readonly Finding[]>('/v1/findings')
        : checkCluster(options))
      const { formatFindings } = await import('../../runtime/finding.ts')
      if (options.output === 'json') printJson(findings)
      else print(formatFindings(findings))
      if (options.output !== 'json' && !isInAgentPod()) print(notRead)
      if (findings.some(({ level }) => level === 'problem')) process.exitCode = 1
    })
}

async function checkCluster(options: Options): Promise<readonly Finding[]> {
  const { configMapData, parseConfiguration } = await import('../../install/configuration.ts')
  const { cniKeys } = await import('../../install/settings/process-settings.ts')
  const { renderInstall } = await import('../../install/manifests.ts')
  const { chosenNames, readSettings } = await import('../install/install.ts')
  const { withCluster } = await import('../cluster.ts')
  const { gatherClusterFacts } = await import('../preflight/facts.ts')
  const { judgeCluster } = await import('../preflight/judge.ts')
  const data = configMapData(await readSettings(options))
  const parsed = parseConfiguration(data)
  if (!parsed.ok) throw new Error(parsed.issues.join('; '))
  const manifests = renderInstall(data, chosenNames())
  const facts = await withCluster((client) => gatherClusterFacts(client, manifests))
  return judgeCluster(facts, {
    ...parsed.value,
    binaries: data[cniKeys.binaries] ?? '',
    image: data['image-repository'] ?? '',
  })
}
