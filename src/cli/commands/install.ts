import type { Command } from 'commander'
import type { Manifest } from '../../install/manifest.ts'
import { settings } from '../../install/settings/settings.ts'
import type { GivenSettings } from '../install/install.ts'
import { takeSettings } from '../options.ts'
import { print } from '../output.ts'

/** Every setting with its default, under the help of the commands that take them. */
const settingsHelp = (): string =>
  settings
    .map(({ path, fallback, choices = [], help }) => {
      const others = choices.length > 1 ? `   (${choices.join(', ')})` : ''
      return `  ${path}=${fallback}${others}\n      ${help}`
    })
    .reduce((text, line) => `${text}\n${line}`, '\nSettings and their defaults:')

interface Options extends GivenSettings {
  readonly dryRun?: boolean
  readonly to?: string
  readonly wait?: boolean
}

export function addInstall(program: Command): void {
  takeSettings(program.command('install'))
    .description('install Sallyport in the cluster of your kubeconfig')
    .option('--dry-run', 'print as YAML what the command would apply, and apply nothing')
    .option('--to <folder>', 'write a folder for kubectl apply -k, and apply nothing')
    .option('--wait', 'wait until all agents and operators are ready, and say why if one is not')
    .addHelpText('after', settingsHelp)
    .action(async (options: Options) => {
      const { dryRun = false, to, wait = false } = options
      const { planInstall } = await import('../install/install.ts')
      const { manifests, cleanUp } = await planInstall(options)
      if (to !== undefined) {
        const { writeKustomization } = await import('../../install/kustomization.ts')
        return print(writeKustomization(to, manifests, cleanUp).join('\n'))
      }
      if (dryRun) return printPlan(manifests)
      const { refuseHalfBuilt } = await import('../checkout.ts')
      refuseHalfBuilt(manifests)
      await applyAll(manifests)
      if (wait) return untilRolledOut()
      print(`Installed. "${program.name()} status --wait" waits until all agents are ready.`)
    })
}

export function addUpgrade(program: Command): void {
  takeSettings(program.command('upgrade'))
    .description(
      'bring an install to the version of this command, node by node; it keeps your settings, except for those that you give',
    )
    .option('--dry-run', 'print as YAML what the command would apply, and apply nothing')
    .option('--no-wait', 'do not wait for the last node')
    .addHelpText('after', settingsHelp)
    .action(async (options: Options) => {
      const { dryRun = false, wait = true } = options
      const { planUpgrade } = await import('../install/install.ts')
      const { withCluster } = await import('../cluster.ts')
      const { manifests, dropped } = await withCluster((client) => planUpgrade(client, options))
      for (const key of dropped) print(`setting ${key} is none of this version's any more: left out`)
      if (dryRun) return printPlan(manifests)
      const absent = await findAbsent()
      const { despiteAbsentNodes } = await import('../install/rollout.ts')
      const { refuseHalfBuilt } = await import('../checkout.ts')
      refuseHalfBuilt(manifests)
      await applyAll(despiteAbsentNodes(manifests, absent))
      if (!wait) return
      await untilRolledOut()
      if (absent > 0) await applyAll(manifests.filter(({ kind }) => kind === 'DaemonSet'))
    })
}

async function printPlan(manifests: readonly Manifest[]): Promise<void> {
  const { renderPlan } = await import('../install/plan.ts')
  process.stdout.write(await renderPlan(manifests))
}

async function applyAll(manifests: readonly Manifest[]): Promise<void> {
  const { applyManifest, describe } = await import('../install/install.ts')
  const { withCluster } = await import('../cluster.ts')
  const { refuseHelmRelease } = await import('../install/helm-release.ts')
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
  const { chosenNames } = await import('../install/install.ts')
  const { waitForRollout } = await import('../install/rollout.ts')
  const { withCluster } = await import('../cluster.ts')
  await withCluster((client) => waitForRollout(client, chosenNames(), { print }))
}
