import type { Command } from 'commander'
import { settings } from '../../api/configuration.ts'
import type { Manifest } from '../../api/manifest.ts'
import { print } from '../output.ts'

/** Every setting with what it is by itself, under the help of the commands that take them. */
const settingsHelp = (): string =>
  settings
    .map(({ path, fallback, choices = [], help }) => {
      const others = choices.length > 1 ? `   (${choices.join(', ')})` : ''
      return `  ${path}=${fallback}${others}\n      ${help}`
    })
    .reduce((text, line) => `${text}\n${line}`, '\nSettings, as they are by themselves:')

const collect = (value: string, before: string[]): string[] => [...before, value]

interface Options {
  readonly set: string[]
  readonly setJson: string[]
  readonly values?: string
  readonly dryRun?: boolean
  readonly to?: string
  readonly wait?: boolean
}

export function addInstall(program: Command): void {
  program
    .command('install')
    .description(
      'install Sallyport in the cluster of your kubeconfig; settings that are not given are as by default',
    )
    .option('--set <path=value>', 'a setting; again for more', collect, [])
    .option('--set-json <path=json>', 'a setting that is a map or a list', collect, [])
    .option('-f, --values <file>', 'settings as YAML')
    .option('--dry-run', 'print what would be applied, as YAML')
    .option('--to <folder>', 'write it there for kubectl apply -k, and apply nothing')
    .option('--wait', 'until all is well')
    .addHelpText('after', settingsHelp)
    .action(async (options: Options) => {
      const { dryRun = false, to, wait = false } = options
      const { planInstall } = await import('../install.ts')
      const { manifests, cleanUp } = await planInstall(options)
      if (to !== undefined) {
        const { writeKustomization } = await import('../kustomization.ts')
        return print(writeKustomization(to, manifests, cleanUp).join('\n'))
      }
      if (dryRun) return printPlan(manifests)
      const { refuseHalfBuilt } = await import('../checkout.ts')
      refuseHalfBuilt(manifests)
      await applyAll(manifests)
      if (wait) return untilRolledOut()
      print('Installed. "sallyport status --wait" tells when all agents are ready.')
    })
}

export function addUpgrade(program: Command): void {
  program
    .command('upgrade')
    .description('bring an install to the version of this command, node by node; settings stay as they are')
    .option('--set <path=value>', 'a setting to change; again for more', collect, [])
    .option('--set-json <path=json>', 'a setting to change that is a map or a list', collect, [])
    .option('-f, --values <file>', 'settings to change, as YAML')
    .option('--dry-run', 'print what would be applied, as YAML')
    .option('--no-wait', 'do not wait for the last node')
    .addHelpText('after', settingsHelp)
    .action(async (options: Options) => {
      const { dryRun = false, wait = true } = options
      const { planUpgrade } = await import('../install.ts')
      const { withCluster } = await import('../cluster.ts')
      const { manifests, dropped } = await withCluster((client) => planUpgrade(client, options))
      for (const key of dropped) print(`setting ${key} is none of this version's any more: left out`)
      if (dryRun) return printPlan(manifests)
      const absent = await findAbsent()
      const { despiteAbsentNodes } = await import('../rollout.ts')
      const { refuseHalfBuilt } = await import('../checkout.ts')
      refuseHalfBuilt(manifests)
      await applyAll(despiteAbsentNodes(manifests, absent))
      if (!wait) return
      await untilRolledOut()
      if (absent > 0) await applyAll(manifests.filter(({ kind }) => kind === 'DaemonSet'))
    })
}

async function printPlan(manifests: readonly Manifest[]): Promise<void> {
  const { renderPlan } = await import('../plan.ts')
  process.stdout.write(await renderPlan(manifests))
}

async function applyAll(manifests: readonly Manifest[]): Promise<void> {
  const { applyManifest, describe } = await import('../install.ts')
  const { withCluster } = await import('../cluster.ts')
  const { refuseHelmRelease } = await import('../helm-release.ts')
  await withCluster(async (client) => {
    await refuseHelmRelease(
      client,
      (release) =>
        `change it with "helm upgrade ${release} CHART --namespace kube-system --reset-then-reuse-values", or remove the release first (docs/helm.md)`,
    )
    for (const manifest of manifests) print(`${describe(manifest)} ${await applyManifest(client, manifest)}`)
  })
}

/** Names the nodes that are away, and counts them. */
async function findAbsent(): Promise<number> {
  const { withCluster } = await import('../cluster.ts')
  const { describeAbsence, findAbsentNodes } = await import('../trouble/cluster-trouble.ts')
  const absent = await withCluster(findAbsentNodes)
  for (const node of absent) print(`${describeAbsence(node)}; the upgrade goes on without it`)
  return absent.length
}

async function untilRolledOut(): Promise<void> {
  const { chosenNames } = await import('../install.ts')
  const { waitForRollout } = await import('../rollout.ts')
  const { withCluster } = await import('../cluster.ts')
  await withCluster((client) => waitForRollout(client, chosenNames(), { print }))
}
