import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { stringify } from 'yaml'
import { RunningServer } from '../../../test/support/running-server.ts'
import { renderCrd } from '../../api/crd.ts'
import { repository } from '../../lab/layout.ts'
import { clientToolsFolder } from '../../lab/programs/client-tools.ts'

const chart = join(repository, 'deploy/chart')
const ours = ['--namespace', 'kube-system']
const workloads = 'get deployments,daemonsets,configmaps -n kube-system -o name'
const cliEntry = join(repository, 'src/cli/main.ts')

/* Releases and their objects, on an API server without nodes. */
for (const age of ['oldest', 'newest'] as const) {
  const helmPath = join(clientToolsFolder(age), 'helm')
  describe(`the ${age} Helm and install on one cluster`, {
    skip: !existsSync(helmPath) && 'Helm is missing: run ./setup on x86-64',
    timeout: 300_000,
  }, () => {
    let server: RunningServer
    before(async () => {
      server = await RunningServer.open()
    })
    after(() => server[Symbol.asyncDispose]())

    const helm = async (...words: string[]): Promise<string> => {
      const { code, stdout, stderr } = await server.run([helmPath, ...words, ...ours])
      assert.equal(code, 0, `helm ${words.join(' ')}: ${stderr}`)
      return stdout
    }
    const helmFails = async (...words: string[]): Promise<string> => {
      const { code, stderr, stdout } = await server.run([helmPath, ...words, ...ours])
      assert.notEqual(code, 0, `helm ${words.join(' ')} should fail: ${stdout}`)
      return stderr
    }
    const kubectl = async (words: string, input?: string): Promise<string> => {
      const { code, stdout, stderr } = await server.kubectl(words, input)
      assert.equal(code, 0, `kubectl ${words}: ${stderr}`)
      return stdout.trim()
    }
    const sallyport = (...words: string[]) =>
      server.run([process.execPath, '--disable-warning=ExperimentalWarning', cliEntry, ...words])
    const mtu = (): Promise<string> =>
      kubectl('get cm sallyport-config -n kube-system -o jsonpath={.data.mtu}')

    test('helm installs, upgrades, rolls back and uninstalls a release, and the definitions and policies stay', async () => {
      await helm('install', 'gateway', chart)
      assert.equal(await mtu(), '0')
      const policy = { apiVersion: 'cilium.io/v2', kind: 'CiliumEgressGatewayPolicy', metadata: { name: 'kept' }, spec: { selectors: [{ podSelector: {} }], destinationCIDRs: ['203.0.113.0/24'], egressGateway: { nodeSelector: {} } } }
      await kubectl('create -f -', stringify(policy))
      await helm('upgrade', 'gateway', chart, '--set', 'mtu=1400,serviceMonitor.enabled=false')
      assert.equal(await mtu(), '1400')
      await helm('rollback', 'gateway', '1')
      assert.equal(await mtu(), '0')
      await helm('uninstall', 'gateway')
      assert.equal(await kubectl(workloads), '')
      assert.equal(await kubectl('get cegp -o name'), 'ciliumegressgatewaypolicy.cilium.io/kept')
      await helm('install', 'gateway', chart)
    }) // biome-ignore format: one a line

    test('helm upgrade refuses to change a setting that connections or pods depend on, unless it is forced', async () => {
      const slots = (): Promise<string> => kubectl('get cm sallyport-config -n kube-system -o jsonpath={.data.slots}')
      assert.match(await helmFails('upgrade', 'gateway', chart, '--set', 'slots=1024'), /slots is 512 in this install and would become 1024\. .*add --set slots=512\. To change it, add --set force=slots=1024/s)
      assert.match(await helmFails('upgrade', 'gateway', chart, '--set', 'cni.chainingMode=generic-veth'), /cni\.chainingMode is none in this install/)
      assert.equal(await slots(), '512')
      await helm('upgrade', 'gateway', chart, '--set', 'slots=1024,force=slots=1024')
      assert.equal(await slots(), '1024')
      assert.match(await helmFails('upgrade', 'gateway', chart, '--set', 'slots=512'), /slots is 1024 in this install and would become 512/)
      await helm('upgrade', 'gateway', chart, '--set', 'slots=512,force=slots=512')
    }) // biome-ignore format: one a line

    test('helm upgrade changes the definitions as well', async () => {
      const name = 'egressnodes.sallyport.dev'
      await kubectl(`patch crd ${name} --type=json -p [{"op":"replace","path":"/spec/versions/0/additionalPrinterColumns","value":[]}]`)
      const columns = `get crd ${name} -o jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}`
      assert.equal(await kubectl(columns), '')
      await helm('upgrade', 'gateway', chart, '--set', 'mtu=1300', ...(age === 'newest' ? ['--force-conflicts'] : []))
      assert.match(await kubectl(columns), /Age/)
    }) // biome-ignore format: one a line

    test('install, upgrade and uninstall refuse to change a release, and say what to do', async () => {
      for (const [words, remedy] of [
        [
          ['install'],
          /the Helm release gateway manages this install\. To change it, run "helm upgrade gateway/,
        ],
        [
          ['upgrade', '--set', 'mtu=1200'],
          /the Helm release gateway manages this install\. To change it, run "helm upgrade gateway/,
        ],
        [['uninstall', '--yes'], /To clean the nodes, run "helm upgrade gateway .* --set cleanUp=true"/],
      ] as const) {
        const { code, stderr } = await sallyport(...words)
        assert.equal(code, 1, words.join(' '))
        assert.match(stderr, remedy)
      }
      assert.equal(await mtu(), '1300')
      assert.match(
        (await sallyport('install', '--dry-run')).stdout,
        /^# The Helm release gateway manages this install\./,
      )
      const { stdout } = await sallyport('preflight')
      assert.match(stdout, /the Helm release gateway manages this install/)
      assert.doesNotMatch(stdout, /another product created it/)
    })

    test('cleanUp=true replaces agents and operators with the clean-up DaemonSet', async () => {
      await helm('upgrade', 'gateway', chart, '--reset-then-reuse-values', '--set', 'cleanUp=true')
      const names = await kubectl('get deployments,daemonsets -n kube-system -o name')
      assert.equal(names, 'daemonset.apps/sallyport-clean-up')
      await helm('uninstall', 'gateway')
    })

    test('install takes over the definitions of a removed release', async () => {
      const { code, stdout, stderr } = await sallyport('install')
      assert.equal(code, 0, stderr)
      assert.match(stdout, /egressnodes\.sallyport\.dev configured/)
      assert.doesNotMatch(stdout, /left alone/)
    })

    test('helm install refuses to replace an install unless --take-ownership is given', async () => {
      assert.match(await helmFails('install', 'gateway', chart), /cannot be imported into the current release: invalid ownership metadata/)
      assert.equal(await kubectl('get ds sallyport -n kube-system -o jsonpath={.metadata.labels}'), '{"app.kubernetes.io/managed-by":"sallyport"}')
      if (age === 'oldest') return
      await helm('install', 'gateway', chart, '--take-ownership', '--force-conflicts')
      assert.equal(await kubectl('get ds sallyport -n kube-system -o jsonpath={.metadata.labels}'), '{"app.kubernetes.io/managed-by":"Helm"}')
      assert.match((await sallyport('upgrade')).stderr, /the Helm release gateway manages this install/)
      await helm('uninstall', 'gateway')
    }) // biome-ignore format: one a line

    test('a release never changes or deletes a definition of another product', async () => {
      await kubectl('delete crd --all')
      await sallyport('uninstall', '--purge', '--yes')
      const foreign = { ...renderCrd('isovalentEgressGatewayPolicy'), metadata: { name: 'isovalentegressgatewaypolicies.isovalent.com', labels: { 'from': 'another-product' } } }
      await kubectl('create -f -', stringify(foreign))
      await helm('install', 'gateway', chart)
      assert.equal(await kubectl('get crd isovalentegressgatewaypolicies.isovalent.com -o jsonpath={.metadata.labels}'), '{"from":"another-product"}')
      await helm('uninstall', 'gateway')
      assert.equal(await kubectl('get crd isovalentegressgatewaypolicies.isovalent.com -o jsonpath={.metadata.labels}'), '{"from":"another-product"}')
    }) // biome-ignore format: one a line

    test('helm install with an invalid values file changes nothing', async () => {
      const file = server.path('wrong.yaml')
      writeFileSync(file, stringify({ slots: 100 }))
      assert.match(await helmFails('install', 'wrong', chart, '--values', file), /slots/)
      assert.equal(await kubectl(workloads), '')
    })
  })
}
