import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { stringify } from 'yaml'
import { runCommand } from '../../test/support/command-under-test.ts'
import { RunningServer } from '../../test/support/running-server.ts'
import { renderCrd } from '../api/crd.ts'
import { kinds } from '../api/kinds.ts'
import { version } from '../api/version.ts'
import { KubeClient, type KubeObject, type ResourceName } from '../kube/client.ts'
import { clusterResource } from '../kube/cluster-objects.ts'
import { isNotFound } from '../kube/kube-error.ts'

const server = await RunningServer.open(['guest-token,guest,2'])
const client = new KubeClient(
  { server: server.url, ca: server.ca, token: () => server.adminToken },
  { userAgent: 'sallyport-test' },
)
const directory = mkdtempSync(join(tmpdir(), 'sallyport-cli-'))
after(async () => {
  await client[Symbol.asyncDispose]()
  await server[Symbol.asyncDispose]()
  rmSync(directory, { recursive: true })
})

function kubeconfig(token: string, url = server.url): string {
  const path = join(directory, `${token}-${new URL(url).port}`)
  const cluster = { server: url, 'certificate-authority-data': Buffer.from(server.ca).toString('base64') }
  const text = stringify({
    clusters: [{ name: 'test', cluster }],
    users: [{ name: 'test', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    'current-context': 'test',
  })
  writeFileSync(path, text)
  return path
}

const admin = { KUBECONFIG: kubeconfig(server.adminToken) }
const run = (...words: string[]) => runCommand(words, admin)
/** The outcome of each object, from the end of its line. */
const outcomes = (stdout: string): Record<string, string> =>
  Object.fromEntries([...stdout.matchAll(/^(\S+\/\S+) (.+)$/gm)].map(([, name, outcome]) => [name, outcome]))

const definitions = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  plural: 'customresourcedefinitions',
  isNamespaced: false,
}
const apps = (plural: string): ResourceName => ({ group: 'apps', version: 'v1', plural, isNamespaced: true })
const pausing = { containers: [{ name: 'pause', image: 'pause' }] }
const policyCrd = 'ciliumegressgatewaypolicies.cilium.io'
async function exists(resource: ResourceName, name: string, namespace?: string): Promise<boolean> {
  try {
    await client.resource(resource).get(name, namespace)
    return true
  } catch (error) {
    if (isNotFound(error)) return false
    throw error
  }
}

test('status and config view fail before an install and say how to install', async () => {
  const [status, view] = [await run('status'), await run('config', 'view')]
  assert.equal(status.code, 1)
  assert.match(status.stdout, /not installed: run "sallyport install"/)
  assert.deepEqual(view, {
    code: 1,
    stdout: '',
    stderr: 'sallyport: Sallyport is not installed: run "sallyport install"\n',
  })
})

test('preflight succeeds in a suitable cluster, and fails for a user without the rights', async () => {
  const { code, stdout } = await run('preflight')
  assert.equal(code, 0, stdout)
  assert.match(stdout, /^✓ you have the rights to install$/m)
  assert.match(stdout, /^Not checked: devices and rules of the nodes .*in an agent’s pod\./m)
  assert.match(stdout, /^✓ the API server accepts all \d+ objects of the install in a dry run$/m)
  assert.equal(await exists(apps('daemonsets'), 'sallyport', 'kube-system'), false, 'nothing is stored')
  const guest = { KUBECONFIG: kubeconfig('guest-token') }
  const refused = await runCommand(['preflight', '-o', 'json'], guest)
  assert.equal(refused.code, 1)
})

test('a dry run applies nothing', async () => {
  const { code, stdout } = await run('install', '--dry-run')
  assert.equal(code, 0)
  assert.match(stdout, /^kind: DaemonSet$/m)
  assert.doesNotMatch(stdout, /^#/m)
  assert.equal(await exists(definitions, policyCrd), false)
})

test('a dry run without a cluster prints the manifests and says that it asked no cluster', async () => {
  const nowhere = { KUBECONFIG: join(directory, 'none') }
  const { code, stdout } = await runCommand(['install', '--dry-run'], nowhere)
  assert.equal(code, 0)
  assert.match(stdout, /^# Printed without asking a cluster: there is no kubeconfig at /)
  assert.match(stdout, new RegExp(`^  name: ${policyCrd}$`, 'm'))
})

test('an install with wrong settings applies nothing, names every mistake and has exit code 2', async () => {
  const { code, stderr } = await run('install', '--set', 'device=eth0', '--set', 'slots=3')
  assert.equal(code, 2)
  assert.match(stderr, /device: did you mean devices\?\nslots: 3 is not/)
  assert.equal(await exists(definitions, policyCrd), false)
})

test('an install without the rights fails and says which rights to use', async () => {
  const { code, stderr } = await runCommand(['install'], { KUBECONFIG: kubeconfig('guest-token') })
  assert.equal(code, 1)
  assert.match(stderr, /rights of a cluster administrator/)
})

test('an install creates everything, and a second one changes nothing', async () => {
  const values = join(directory, 'values.yaml')
  writeFileSync(values, stringify({ devices: ['eth+', 'net+'], egressGateway: { enabled: true } }))
  const first = await run('install', '-f', values)
  assert.equal(first.code, 0, first.stderr)
  assert.deepEqual([...new Set(Object.values(outcomes(first.stdout)))], ['created'])
  const second = await run('install', '-f', values)
  assert.deepEqual(outcomes(second.stdout), mapValues(outcomes(first.stdout), 'unchanged'))
  assert.match((await run('config', 'view')).stdout, /^devices +eth\+,net\+$/m)
})

test('a changed setting changes the ConfigMap and the pod templates of agents and operators', async () => {
  const { stdout } = await run('install', '--set', 'devices={eth+,net+}', '--set', 'mtu=1400')
  const changed = Object.entries(outcomes(stdout)).filter(([, outcome]) => outcome !== 'unchanged')
  assert.deepEqual(
    changed.map(([name]) => name),
    ['configmap/sallyport-config', 'deployment.apps/sallyport-operator', 'daemonset.apps/sallyport'],
  )
})

test('an upgrade keeps all settings that are not given, and reports settings that no longer exist', async () => {
  const configMaps = client.resource<KubeObject & { data: Record<string, string> }>({
    group: '',
    version: 'v1',
    plural: 'configmaps',
    isNamespaced: true,
  })
  const before = await configMaps.get('sallyport-config', 'kube-system')
  const data = {
    ...before.data,
    'old-key': 'x',
    'image-tag': '0.0.1',
    'image-repository': 'registry.test/sallyport',
  }
  const { name, namespace, labels } = before.metadata
  const metadata = { name, namespace, labels } as KubeObject['metadata']
  const older = { apiVersion: 'v1', kind: 'ConfigMap', metadata, data }
  await configMaps.apply(older, { fieldManager: 'sallyport', force: true })
  const { code, stdout, stderr } = await run('upgrade', '--no-wait', '--set', 'logLevel=debug')
  assert.equal(code, 0, stderr)
  assert.match(stdout, /setting old-key does not exist in this version and is removed/)
  const after = (await configMaps.get('sallyport-config', 'kube-system')).data
  const { 'old-key': _, 'image-tag': __, ...kept } = data
  assert.deepEqual(after, { ...kept, 'log-level': 'debug', 'image-tag': version })
  const daemonSet = JSON.stringify(await client.resource(apps('daemonsets')).get('sallyport', 'kube-system'))
  assert.match(daemonSet, new RegExp(`registry.test/sallyport:${version.replaceAll('.', '\\.')}`))
  await run('install', '--set', 'devices={eth+,net+}', '--set', 'mtu=1400')
})

test('an upgrade and an install refuse to change what connections and pods depend on, unless forced', async () => {
  const given = ['--set', 'devices={eth+,net+}', '--set', 'mtu=1400']
  for (const command of ['upgrade', 'install']) {
    const slots = await run(command, ...given, '--set', 'slots=256')
    assert.equal(slots.code, 1)
    assert.match(
      slots.stderr,
      /slots is 512 in this install and would become 256\. Every node then owns other ports .* break\. To keep it, add --set slots=512\. To change it, add --force\./,
    )
    const mode = await run(command, ...given, '--set', 'cni.chainingMode=generic-veth')
    assert.match(mode.stderr, /cni\.chainingMode is none in this install and would become generic-veth\./)
  }
  const forced = await run('upgrade', '--no-wait', '--force', '--set', 'slots=256')
  assert.equal(forced.code, 0, forced.stderr)
  const unaware = await run('install', ...given)
  assert.match(unaware.stderr, /slots is 256 in this install and would become 512\./)
  const back = await run('install', ...given, '--force')
  assert.equal(back.code, 0, back.stderr)
})

test('an upgrade says that it keeps the default of an earlier version, and how to get the new one', async () => {
  const refuse = ['--no-wait', '--set', 'cni.networkPolicies=refuse']
  const chosen = await run('upgrade', ...refuse)
  assert.doesNotMatch(chosen.stdout, /stays/)
  const kept = await run('upgrade', '--no-wait')
  assert.match(
    kept.stdout,
    /^cni\.networkPolicies stays refuse, which was the default of earlier versions\. The default is now enforce\. To use it, run the upgrade with --set cni\.networkPolicies=enforce\.$/m,
  )
  const moved = await run('upgrade', '--no-wait', '--set', 'cni.networkPolicies=enforce')
  assert.equal(moved.code, 0, moved.stderr)
  assert.doesNotMatch((await run('upgrade', '--no-wait')).stdout, /stays/)
})

test('an install creates an object again that was deleted by hand', async () => {
  await client.resource(apps('daemonsets')).delete('sallyport', { namespace: 'kube-system' })
  const { stdout } = await run('install', '--set', 'devices={eth+,net+}', '--set', 'mtu=1400')
  assert.equal(outcomes(stdout)['daemonset.apps/sallyport'], 'created')
})

test('status succeeds when every pod is available, and until then fails and says what is missing', async () => {
  const daemonSets = client.resource<KubeObject>(apps('daemonsets'))
  const deployments = client.resource<KubeObject>(apps('deployments'))
  const report = async (ready: number): Promise<void> => {
    const counts = { desiredNumberScheduled: 5, numberReady: ready, numberAvailable: ready }
    const where = { namespace: 'kube-system', subresource: 'status' }
    await daemonSets.patch('sallyport', 'merge', { status: counts }, where)
    const replicas = { replicas: 2, readyReplicas: 2, availableReplicas: 2 }
    await deployments.patch('sallyport-operator', 'merge', { status: replicas }, where)
  }
  await report(4)
  const incomplete = await run('status', '--wait', '--wait-duration', '100ms')
  assert.equal(incomplete.code, 1)
  assert.match(incomplete.stdout, /DaemonSet sallyport: 1 of 5 pods are not ready/)
  assert.match(incomplete.stderr, /^sallyport: 4 of 5 ready, sallyport-operator: 2 of 2 ready$/m)
  assert.match(incomplete.stderr, /^ {2}DaemonSet sallyport: 1 of 5 pods are not ready$/m)
  const waiting = run('status', '--wait')
  await report(5)
  const complete = await waiting
  assert.equal(complete.code, 0, complete.stdout)
  assert.match(complete.stdout, /^DaemonSet +sallyport +Desired: 5, Ready: 5\/5, Available: 5\/5$/m)
  assert.match(complete.stdout, /^Deployment +sallyport-operator +Desired: 2, Ready: 2\/2, Available: 2\/2$/m)
})

test('status fails while a node is not connected, and names the node and the reason', async () => {
  const egressNodes = client.resource<KubeObject>(clusterResource(kinds.egressNode))
  await egressNodes.create({
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'EgressNode',
    metadata: { name: 'cut-off' },
  } as KubeObject)
  const connected = (status: 'True' | 'False'): object => ({
    status: {
      conditions: [
        {
          type: 'Connected',
          status,
          reason: 'ReachesNoNode',
          message: 'the node reaches no other node through the tunnel',
          lastTransitionTime: '2026-01-01T00:00:00Z',
        },
      ],
    },
  })
  await egressNodes.patch('cut-off', 'merge', connected('False'), { subresource: 'status' })
  const disconnected = await run('status')
  assert.equal(disconnected.code, 1)
  assert.match(
    disconnected.stdout,
    /node cut-off is not connected: the node reaches no other node through the tunnel/,
  )
  await egressNodes.patch('cut-off', 'merge', connected('True'), { subresource: 'status' })
  assert.equal((await run('status')).code, 0)
  await egressNodes.delete('cut-off')
})

test('uninstall keeps the definitions, and uninstall --purge deletes them', async () => {
  const { code, stdout } = await run('uninstall')
  assert.equal(code, 0)
  assert.match(stdout, /The nodes have no CNI plugin now\..*\n.*"cni plugin not initialized"/)
  assert.equal(outcomes(stdout)['daemonset.apps/sallyport'], 'deleted')
  assert.equal(outcomes(stdout)[`customresourcedefinition.apiextensions.k8s.io/${policyCrd}`], 'kept')
  assert.equal(await exists(definitions, policyCrd), true)
  await run('uninstall', '--purge')
  assert.equal(await exists(definitions, policyCrd), false)
})

test('uninstall says that nothing is installed', async () => {
  assert.deepEqual(await run('uninstall', '--purge'), {
    code: 0,
    stdout: 'Sallyport is not installed in this cluster: nothing was removed.\n',
    stderr: '',
  })
})

test('a first install may choose what cannot change later', async () => {
  const { code, stderr } = await run(
    'install',
    '--set',
    'cni.chainingMode=generic-veth',
    '--set',
    'slots=256',
  )
  assert.equal(code, 0, stderr)
  await run('uninstall', '--purge')
})

test('a definition of another product is used and never changed or deleted, even by --purge', async () => {
  const theirs = structuredClone(renderCrd('ciliumEgressGatewayPolicy')) as KubeObject & {
    metadata: { labels?: object }
  }
  theirs.metadata.labels = { owner: 'another' }
  await client.resource(definitions).create(theirs)
  const key = `customresourcedefinition.apiextensions.k8s.io/${policyCrd}`
  const plan = (await run('install', '--dry-run')).stdout
  assert.match(
    plan,
    new RegExp(`^# ${key} belongs to another product\\. Sallyport uses it unchanged\\.$`, 'm'),
  )
  assert.doesNotMatch(plan, new RegExp(`^  name: ${policyCrd}$`, 'm'))
  assert.equal(outcomes((await run('install')).stdout)[key], 'left alone')
  assert.equal(outcomes((await run('uninstall', '--purge')).stdout)[key], 'left alone')
  const after = await client.resource(definitions).get(policyCrd)
  assert.deepEqual(after.metadata.labels, { owner: 'another' })
})

test('preflight fails if an object of the install belongs to another product', async () => {
  const labels = { owner: 'another' }
  const theirs = { metadata: { name: 'sallyport-config', labels }, data: {} }
  const configMaps = client.resource<KubeObject>({
    group: '',
    version: 'v1',
    plural: 'configmaps',
    isNamespaced: true,
  })
  await configMaps.create(theirs as KubeObject, { namespace: 'kube-system' })
  const { code, stdout } = await run('preflight')
  await configMaps.delete('sallyport-config', { namespace: 'kube-system' })
  assert.equal(code, 1)
  assert.match(
    stdout,
    /^✗ configmap\/sallyport-config already exists, and another product created it: remove/m,
  )
})

test('another gateway with the compatible names is neither changed nor deleted', async () => {
  const daemonSets = client.resource<KubeObject>(apps('daemonsets'))
  const labels = { 'k8s-app': 'cilium' }
  const spec = { selector: { matchLabels: labels }, template: { metadata: { labels }, spec: pausing } }
  const theirs = { apiVersion: 'apps/v1', kind: 'DaemonSet', metadata: { name: 'cilium', labels }, spec }
  const before = await daemonSets.create(theirs, { namespace: 'kube-system' })
  const compatible = { ...admin, SALLYPORT_COMPATIBLE_NAMES: 'cilium' }
  assert.match(
    (await runCommand(['install', '--dry-run'], compatible)).stdout,
    /^# daemonset\.apps\/cilium already exists, and another product created it\. The install stops here\.$/m,
  )
  const { code, stderr } = await runCommand(['install'], compatible)
  assert.equal(code, 1)
  assert.match(stderr, /daemonset\.apps\/cilium already exists, and another product created it/)
  const { stdout } = await run('uninstall', '--purge')
  assert.equal(outcomes(stdout)['daemonset.apps/cilium'], 'left alone')
  assert.equal(outcomes(stdout)['deployment.apps/cilium-operator'], 'deleted')
  assert.deepEqual(await daemonSets.get('cilium', 'kube-system'), before)
})

test('status names an API server that does not answer', async () => {
  const nobody = kubeconfig(server.adminToken, 'https://127.0.0.1:1')
  const { code, stderr } = await runCommand(['status'], { KUBECONFIG: nobody })
  assert.equal(code, 1)
  assert.match(stderr, /https:\/\/127\.0\.0\.1:1 does not answer/)
})

function mapValues(record: Readonly<Record<string, string>>, value: string): Record<string, string> {
  return Object.fromEntries(Object.keys(record).map((key) => [key, value]))
}
