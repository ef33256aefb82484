import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { parseAllDocuments, stringify } from 'yaml'
import { planInstall } from '../../cli/install/install.ts'
import { repository } from '../../lab/layout.ts'
import { clientToolsFolder } from '../../lab/programs/client-tools.ts'
import type { Manifest } from '../manifest.ts'
import { settings } from '../settings/settings.ts'
import { renderChart } from './chart.ts'
import { withConditions } from './optional-lines.ts'

const chart = join(repository, 'deploy/chart')
const directory = mkdtempSync(join(tmpdir(), 'sallyport-chart-'))
after(() => rmSync(directory, { recursive: true }))

test('deploy/chart is what the code renders: run "make chart"', () => {
  const present = readdirSync(chart, { recursive: true, withFileTypes: true })
    .filter((each) => each.isFile())
    .map((each) => join(each.parentPath, each.name).slice(chart.length + 1))
  assert.deepEqual(present.sort(), [...renderChart().keys()].sort())
  for (const [file, text] of renderChart()) assert.equal(readFileSync(join(chart, file), 'utf8'), text, file)
})

test('values.yaml has every setting of install, with its help', () => {
  const values = renderChart().get('values.yaml') ?? ''
  const root = parseAllDocuments(values)[0]
  for (const { path } of settings) assert.ok(root?.hasIn(path.split('.')), path)
  assert.match(
    values,
    /# UDP port of the tunnel\. Firewalls must allow it between all nodes\. Choose another port if flannel or Cilium\n# uses 8472\.\ntunnelPort: 8472\n/,
  )
})

test('a template has if, else and end around the lines that depend on a condition', () => {
  const full = ['a', 'b', '  c', '  d', 'e']
  assert.deepEqual(
    withConditions(full, [
      { test: 'x', without: ['a', 'b', '  C', '  d', 'e'] },
      { test: 'y', without: ['a', 'e'] },
    ]),
    [
      'a',
      '{{- if y }}',
      'b',
      '  {{- if x }}',
      '  c',
      '  {{- else }}',
      '  C',
      '  {{- end }}',
      '  d',
      '{{- end }}',
      'e',
    ],
  )
  assert.throws(() => withConditions(['a'], [{ test: 'x', without: ['a', 'b'] }]), /only without x/)
})

const valuesFiles: Readonly<Record<string, object>> = {
  'the defaults': {},
  'chained mode': { cni: { chainingMode: 'generic-veth', networkPolicies: 'bypass' } },
  'a list of devices, booleans and numbers': {
    devices: ['eth+', 'net0'],
    kubeProxyReplacement: true,
    slots: 1024,
    mtu: 1400,
    health: { port: 19787 },
    egressGateway: { enabled: false, egressIPLingerTime: '1h30m' },
    stackCIDRs: ['10.96.0.0/12', 'fd00:10:96::/112'],
    nonMasqueradeCIDRs: ['10.0.0.0/8'],
    cni: { binPath: '/home/kubernetes/bin' },
  },
  'a private image with pull secrets': {
    image: {
      repository: 'registry.example.com:5000/sallyport',
      tag: '1.10',
      pullPolicy: 'Always',
      pullSecrets: ['one', 'two'],
    },
  },
  'agents with their own place and resources': {
    resources: { limits: { memory: '300Mi', cpu: 2 }, requests: { cpu: null } },
    nodeSelector: { 'kubernetes.io/os': 'linux', quoted: 'a "b" <c> & d' },
    tolerations: [{ key: 'dedicated', operator: 'Equal', value: 'net', effect: 'NoSchedule' }],
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{ matchExpressions: [{ key: 'a', operator: 'Exists' }] }],
        },
      },
    },
    priorityClassName: 'mine',
    podAnnotations: { note: 'kept' },
    podLabels: { team: 'net' },
  },
  'operators with their own place and resources': {
    operator: {
      replicas: 3,
      resources: { limits: { memory: '300Mi' } },
      nodeSelector: { pool: 'system' },
      tolerations: [],
      affinity: { podAntiAffinity: {} },
      priorityClassName: 'mine',
      podAnnotations: { note: 'kept' },
      podLabels: { team: 'net' },
    },
  },
  'a ServiceMonitor': {
    health: { address: '0.0.0.0' },
    serviceMonitor: { enabled: true, interval: '10s', labels: { release: 'prometheus' } },
  },
  'alerts and dashboards': {
    prometheusRule: { enabled: true, labels: { release: 'prometheus' } },
    dashboards: { enabled: true, labels: { folder: 'network' } },
  },
  everything: {
    cni: { chainingMode: 'generic-veth' },
    health: { address: '::' },
    serviceMonitor: { enabled: true },
    prometheusRule: { enabled: true },
    dashboards: { enabled: true },
    image: { pullSecrets: ['one'] },
    affinity: { nodeAffinity: {} },
    operator: { nodeSelector: { a: 'b' }, podAnnotations: { a: 'b' } },
    podLabels: { c: 'd' },
  },
}

interface Labelled extends Manifest {
  readonly metadata: Manifest['metadata'] & { readonly annotations?: Record<string, string> }
}
const nameOf = ({ kind, metadata }: Manifest): string => `${kind}/${metadata.name}`
const byName = (manifests: readonly Manifest[]): Map<string, Manifest> =>
  new Map(manifests.map((manifest) => [nameOf(manifest), manifest]))

/** The manifests without the chart's own annotations of definitions, and without the hooks of helm test. */
function plain(manifests: readonly Labelled[]): Manifest[] {
  return manifests
    .filter(({ metadata }) => metadata.annotations?.['helm.sh/hook'] === undefined)
    .map((manifest) => {
      if (manifest.kind !== 'CustomResourceDefinition') return manifest
      const { annotations, ...metadata } = manifest.metadata
      assert.equal(annotations?.['helm.sh/resource-policy'], 'keep', nameOf(manifest))
      return { ...manifest, metadata }
    })
}

for (const age of ['oldest', 'newest'] as const) {
  const helm = join(clientToolsFolder(age), 'helm')
  const run = (...words: string[]) =>
    spawnSync(helm, words, { encoding: 'utf8', env: { PATH: process.env.PATH, HOME: directory } })
  const template = (values: object, ...words: string[]) => {
    const file = join(directory, 'values.yaml')
    writeFileSync(file, stringify(values))
    return run('template', 'sallyport', chart, '--namespace', 'kube-system', '--values', file, ...words)
  }
  const skip = !existsSync(helm) && 'Helm is missing: run ./setup on x86-64'

  describe(`the ${age} Helm`, { skip }, () => {
    test('lints the chart without a finding', () => {
      const { status, stdout } = run('lint', chart, '--strict', '--namespace', 'kube-system')
      assert.equal(status, 0, stdout)
      assert.doesNotMatch(stdout, /WARNING|ERROR/)
    })

    for (const [what, values] of Object.entries(valuesFiles))
      test(`renders the same objects as install for ${what}`, async () => {
        const { status, stdout, stderr } = template(values)
        assert.equal(status, 0, stderr)
        const rendered = parseAllDocuments(stdout).map((document) => document.toJS() as Labelled)
        const file = join(directory, 'same.yaml')
        writeFileSync(file, stringify(values))
        const { manifests } = await planInstall({ values: file, set: [], setJson: [] })
        const [actual, expected] = [byName(plain(rendered)), byName(manifests)]
        assert.deepEqual([...actual.keys()].sort(), [...expected.keys()].sort())
        for (const [name, manifest] of expected) assert.deepEqual(actual.get(name), manifest, name)
      })

    test('treats --set like install', async () => {
      const set = [
        'devices={eth+,net+}',
        'nodeSelector.kubernetes\\.io/os=linux',
        'resources.limits.memory=1Gi',
      ]
      const { stdout, stderr } = template({}, ...set.flatMap((each) => ['--set', each]))
      assert.equal(stderr, '')
      const rendered = parseAllDocuments(stdout).map((document) => document.toJS() as Labelled)
      const { manifests } = await planInstall({ set, setJson: [] })
      for (const kind of ['ConfigMap', 'DaemonSet'])
        assert.deepEqual(
          rendered.find((each) => each.kind === kind),
          manifests.find((each) => each.kind === kind),
        )
    })

    test('omits fields that an older Kubernetes does not know', () => {
      assert.match(template({}, '--kube-version', '1.30.0').stdout, /appArmorProfile/)
      assert.doesNotMatch(template({}, '--kube-version', '1.29.5').stdout, /appArmorProfile/)
      assert.match(template({}, '--kube-version', '1.27.0').stderr, /incompatible with Kubernetes/)
    })

    test('replaces agents and operators with the clean-up DaemonSet if cleanUp is true', () => {
      const kinds = parseAllDocuments(template({ cleanUp: true }).stdout)
        .map((document) => document.toJS() as Labelled)
        .map(nameOf)
      assert.ok(kinds.includes('DaemonSet/sallyport-clean-up'))
      assert.ok(!kinds.includes('DaemonSet/sallyport') && !kinds.includes('Deployment/sallyport-operator'))
    })

    for (const [values, message] of [
      [{ egressgateway: { enabled: true } }, /egressgateway/],
      [{ slots: 100 }, /slots/],
      [{ mtu: '1400' }, /mtu/],
      [{ tunnelProtocol: 'geneve' }, /tunnelProtocol/],
      [{ stackCIDRs: ['nowhere'] }, /stackCIDRs/],
      [{ cni: { binPath: 'opt/../bin' } }, /binPath/],
      [{ egressGateway: { egressIPLingerTime: 'long' } }, /egressIPLingerTime/],
      [{ podLabels: { 'k8s-app': 'other' } }, /podLabels/],
      [{ image: { tag: 1.1 } }, /tag/],
      [{ serviceMonitor: { enabled: true } }, /Set health\.address to 0\.0\.0\.0/],
    ] as const)
      test(`refuses ${JSON.stringify(values)}`, () => {
        const { status, stderr } = template(values)
        assert.notEqual(status, 0)
        assert.match(stderr, message)
      })

    test('refuses any namespace but kube-system, and says which one to use', () => {
      const { status, stderr } = run('template', 'sallyport', chart)
      assert.notEqual(status, 0)
      assert.match(stderr, /add --namespace kube-system/)
    })
  })
}
