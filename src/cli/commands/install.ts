import type { Command } from 'commander'
import type { Manifest } from '../../install/manifest.ts'
import { settings } from '../../install/settings/settings.ts'
import type { GivenSettings } from '../install/install.ts'
import { takeSettings } from '../options.ts'
import { print } from '../output.ts'

/** The list of settings in the help of the commands that accept them. */
const settingsHelp = (): string =>
  settings
    .map(({ path, fallback, choices = [], help }) => {
      const values = choices.length > 1 ? `   (${choices.join(', ')})` : ''
      return `  ${path}=${fallback}${values}\n      ${help}`
    })
    .reduce(
      (text, line) => `${text}\n${line}`,
      '\nSettings and their defaults, for --set, --set-json and -f:',
    )

interface Options extends GivenSettings {
  readonly dryRun?: boolean
  readonly to?: string
  readonly wait?: boolean
  readonly force?: boolean
}

const forceOption = [
  '--force',
  'change settings that must not change after the install, although this breaks connections or pods',
] as const

export function addInstall(program: Command): void {
  takeSettings(program.command('install'))
    .description('install Sallyport in the cluster of your kubeconfig')
    .option('--dry-run', 'print the manifests as YAML, and apply nothing')
    .option('--to <folder>', 'write the manifests to a folder for kubectl apply -k, and apply nothing')
    .option(
      '--wait',
      'wait until all agents and operators are ready; after five minutes without progress, print why and fail',
    )
    .option(...forceOption)
    .addHelpText('after', settingsHelp)
    .action(async (options: Options) => {
      const { dryRun = false, to, wait = false, force = false } = options
      const { planInstall } = await import('../install/install.ts')
      const { data, manifests, cleanUp } = await planInstall(options)
      if (to !== undefined) {
        const { writeKustomization } = await import('../../install/kustomization.ts')
        return print(writeKustomization(to, manifests, cleanUp).join('\n'))
      }
      if (dryRun) return printPlan(manifests)
      const { refuseIncompleteBuild } = await import('../checkout.ts')
      refuseIncompleteBuild(manifests)
      if (!force) await refuseFixed(data)
      await applyAll(manifests)
      if (wait) return waitForAll()
      print(`Installed. To wait until all agents are ready, run "${program.name()} status --wait".`)
    })
}

export function addUpgrade(program: Command): void {
  takeSettings(program.command('upgrade'))
    .description(
      'upgrade Sallyport to the version of this command, node by node; all settings keep their values, except those that you give',
    )
    .option('--dry-run', 'print the manifests as YAML, and apply nothing')
    .option('--no-wait', 'do not wait until all nodes are upgraded')
    .option(...forceOption)
    .addHelpText('after', settingsHelp)
    .action(async (options: Options) => {
      const { dryRun = false, wait = true } = options
      const { planUpgrade } = await import('../install/install.ts')
      const { withCluster } = await import('../cluster.ts')
      const { manifests, remarks } = await withCluster((client) => planUpgrade(client, options))
      for (const remark of remarks) print(remark)
      if (dryRun) return printPlan(manifests)
      const absent = await findAbsent()
      const { despiteAbsentNodes } = await import('../install/rollout.ts')
      const { refuseIncompleteBuild } = await import('../checkout.ts')
      refuseIncompleteBuild(manifests)
      await applyAll(despiteAbsentNodes(manifests, absent))
      if (!wait) return
      await waitForAll()
      if (absent > 0) await applyAll(manifests.filter(({ kind }) => kind === 'DaemonSet'))
    })
}

async function refuseFixed(data: Readonly<Record<string, string>>): Promise<void> {
  const { withCluster } = await import('../cluster.ts')
  const { refuseFixedChanges } = await import('../install/fixed-settings.ts')
  await withCluster((client) => refuseFixedChanges(client, data))
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
        `To change it, run "helm upgrade ${release} CHART --namespace kube-system --reset-then-reuse-values". To replace it, remove the release first (docs/helm.md)`,
    )
    for (const manifest of manifests) print(`${describe(manifest)} ${await applyManifest(client, manifest)}`)
  })
}

/** Prints the nodes whose kubelet does not report, and returns their number. */
async function findAbsent(): Promise<number> {
  const { withCluster } = await import('../cluster.ts')
  const { describeAbsence, findAbsentNodes } = await import('../trouble/cluster-trouble.ts')
  const absent = await withCluster(findAbsentNodes)
  for (const node of absent) print(`${describeAbsence(node)}. The upgrade continues without it.`)
  return absent.length
}

async function waitForAll(): Promise<void> {
  const { chosenNames } = await import('../install/install.ts')
  const { waitForRollout } = await import('../install/rollout.ts')
  const { withCluster } = await import('../cluster.ts')
  await withCluster((client) => waitForRollout(client, chosenNames(), { print }))
}
