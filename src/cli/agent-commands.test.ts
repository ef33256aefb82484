import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { runCommand } from '../../test/support/command-under-test.ts'
import { HttpError } from '../agent/api/http-error.ts'
import type { AgentStatus, CompatibleEgressRow, DropEvent, EgressView } from '../agent/api/local-api.ts'
import { type LocalApi, serveLocalApi } from '../agent/api/serve.ts'
import { settings } from '../install/settings/settings.ts'
import { parseAddress } from '../net/address.ts'

/** The agent's real socket, with answers that a test chooses. What a test does not choose is refused. */
let answers: Partial<LocalApi> = {}
const directory = mkdtempSync(join(tmpdir(), 'sallyport-cli-'))
const socket = join(directory, 'agent.sock')
const unchosen = (name: keyof LocalApi) => (): never => {
  throw new HttpError(503, `no answer to ${name} was chosen`)
}
const api: LocalApi = {
  isReady: () => true,
  problems: () => [],
  status: async () => (answers.status ?? unchosen('status'))(),
  config: () => (answers.config ?? unchosen('config'))(),
  findings: () => (answers.findings ?? unchosen('findings'))(),
  compatibleRows: async () => (answers.compatibleRows ?? unchosen('compatibleRows'))(),
  egress: () => (answers.egress ?? unchosen('egress'))(),
  drops: (signal) => (answers.drops ?? unchosen('drops'))(signal),
  explain: async (request) => (answers.explain ?? unchosen('explain'))(request),
  wayOut: (from, to) => (answers.wayOut ?? unchosen('wayOut'))(from, to),
  owner: (of, port) => (answers.owner ?? unchosen('owner'))(of, port),
  flows: (query) => (answers.flows ?? unchosen('flows'))(query),
  ...{ metrics: async () => '', cni: unchosen('cni'), page: unchosen('page') },
  ...{ sendTestPacket: unchosen('sendTestPacket'), passages: unchosen('passages') },
  ...{ loopback: unchosen('loopback'), services: unchosen('services'), natLog: unchosen('natLog') },
}
const environment = { SALLYPORT_SOCKET: socket, HOME: directory }
const run = (...words: string[]) => runCommand(words, environment)

const server = await serveLocalApi(socket, api)
after(() => {
  server.close()
  server.closeAllConnections()
  rmSync(directory, { recursive: true })
})

const address = (text: string) => {
  const parsed = parseAddress(text)
  assert.ok(parsed !== undefined)
  return parsed
}

const row: CompatibleEgressRow = {
  SourceIP: '10.244.1.254',
  DestCIDR: '172.18.0.0/16',
  EgressIP: '172.18.0.42',
  GatewayIP: '172.18.0.4',
}

test('bpf egress list prints the table of cilium bpf egress list', async () => {
  answers = { compatibleRows: async () => [row] }
  for (const verb of ['list', 'ls'])
    assert.deepEqual(await run('bpf', 'egress', verb), {
      code: 0,
      stdout:
        'Source IP      Destination CIDR   Egress IP     Gateway IP\n' +
        '10.244.1.254   172.18.0.0/16      172.18.0.42   172.18.0.4\n',
      stderr: '',
    })
})

test('bpf egress list -o json has exactly the four fields', async () => {
  answers = { compatibleRows: async () => [row] }
  assert.deepEqual(JSON.parse((await run('bpf', 'egress', 'list', '-o', 'json')).stdout), [row])
})

test('without rows the table says so on standard error, and JSON is an empty list', async () => {
  answers = { compatibleRows: async () => [] }
  assert.deepEqual(await run('bpf', 'egress', 'list'), { code: 0, stdout: '', stderr: 'No entries found.\n' })
  assert.equal((await run('bpf', 'egress', 'list', '-o', 'json')).stdout.trim(), '[]')
})

const view: EgressView = {
  pod: { namespace: 'default', name: 'xwing', ips: [address('10.244.1.254')] },
  destination: '172.18.0.0/16',
  policy: { kind: 'CiliumEgressGatewayPolicy', name: 'outpost' },
  action: 'egress',
  egressIps: [
    { address: address('172.18.0.42'), holder: 'kind-worker3', order: ['kind-worker3'], unreachable: [], takesNewFlows: true, portsOwned: 112, flows: 3 },
  ],
} // biome-ignore format: one line an egress IP

test('egress list has a row for each egress IP, and says why a pod’s traffic is dropped', async () => {
  const dropped = { ...view, action: 'drop', reason: 'No egress gateway found', egressIps: [] } as const
  const unserved = { ...dropped, action: 'unserved', reason: 'packets go to the node' } as const
  answers = { egress: () => [view, dropped, unserved] }
  const lines = (await run('egress', 'list')).stdout.trim().split('\n')
  assert.match(
    lines[1] ?? '',
    /^default\/xwing +172\.18\.0\.0\/16 +outpost +172\.18\.0\.42 +yes +kind-worker3 +- +- +112 +3$/,
  )
  assert.match(lines[2] ?? '', /dropped: No egress gateway found$/)
  assert.match(lines[3] ?? '', /not served: packets go to the node$/)
})

test('egress list says which egress IPs new flows take, who answers now and who is unreachable', async () => {
  const [first] = view.egressIps
  assert.ok(first)
  const moved = {
    ...first,
    holder: 'kind-worker4',
    order: ['kind-worker3', 'kind-worker4'],
    unreachable: ['kind-worker3'],
    takesNewFlows: false,
  }
  const lost = { ...first, unreachable: ['kind-worker3'], takesNewFlows: false }
  answers = { egress: () => [{ ...view, egressIps: [moved, lost] }] }
  const [header = '', ...rows] = (await run('egress', 'list')).stdout.trim().split('\n')
  assert.match(header, /Egress IP +New flows +Holder +Path +Unreachable +Ports +Flows$/)
  assert.match(rows[0] ?? '', / 172\.18\.0\.42 +no +kind-worker4 +- +kind-worker3 +112 +3$/)
  assert.match(rows[1] ?? '', / 172\.18\.0\.42 +no +none +- +kind-worker3 +112 +3$/)
})

test('--version and version print the same', async () => {
  assert.deepEqual(await run('--version'), await run('version'))
})

test('config view prints one key per line, sorted', async () => {
  answers = { config: () => ({ 'tunnel-port': '8472', devices: 'eth+,net+' }) }
  assert.equal((await run('config', 'view')).stdout, 'devices       eth+,net+\ntunnel-port   8472\n')
  const json = (await run('config', 'view', '-o', 'json')).stdout
  assert.deepEqual(JSON.parse(json), { devices: 'eth+,net+', 'tunnel-port': '8472' })
})

for (const command of [
  'version',
  'status',
  'config view',
  'preflight',
  'bpf egress list',
  'egress list',
  'drops',
])
  test(`${command} refuses an unknown output format as a usage error`, async () => {
    const { code, stdout, stderr } = await run(...command.split(' '), '-o', 'yaml')
    assert.deepEqual({ code, stdout }, { code: 2, stdout: '' })
    assert.match(stderr, /'yaml' is invalid/)
  })

test('preflight beside an agent prints what the agent finds on its node', async () => {
  answers = {
    findings: () => [{ level: 'problem', what: 'no device has a default route', remedy: 'name one' }],
  }
  const { code, stdout } = await run('preflight')
  assert.deepEqual(
    { code, stdout: stdout.trim() },
    { code: 1, stdout: '✗ no device has a default route: name one' },
  )
})

test('install and upgrade explain every setting', async () => {
  for (const command of ['install', 'upgrade']) {
    const { stdout } = await run(command, '--help')
    for (const { path, fallback, help } of settings) {
      assert.ok(stdout.includes(`  ${path}=${fallback}`), path)
      assert.ok(stdout.includes(help), path)
    }
  }
})

const drop: DropEvent = {
  time: '2026-01-01T00:00:00.000Z',
  program: 'from_pod',
  verdict: 'DROP_NO_GATEWAY',
  reason: 'No egress gateway found',
  remedy: 'label a node',
  node: 'kind-worker',
  pod: 'default/xwing',
  source: '10.244.1.7:40000',
  destination: '172.18.0.7:8000',
  protocol: 'TCP',
  length: 60,
}

test('drops prints each record as soon as it arrives', async () => {
  const ended = new AbortController()
  let isLetGo = false
  answers = {
    drops: async function* (signal) {
      yield drop
      yield { ...drop, protocol: 'UDP' }
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      isLetGo = true
    },
  }
  const { stdout } = await runCommand(['drops'], environment, {
    signal: ended.signal,
    onOutput: (text) => text.includes('UDP') && ended.abort(),
  }) // biome-ignore format: the call and its ending
  assert.deepEqual(stdout.trim().split('\n'), [
    '2026-01-01T00:00:00.000Z   kind-worker   from_pod   TCP 10.244.1.7:40000 -> 172.18.0.7:8000   No egress gateway found (DROP_NO_GATEWAY)   pod default/xwing',
    '2026-01-01T00:00:00.000Z   kind-worker   from_pod   UDP 10.244.1.7:40000 -> 172.18.0.7:8000   No egress gateway found (DROP_NO_GATEWAY)   pod default/xwing',
  ])
  for (let tries = 0; tries < 100 && !isLetGo; tries++)
    await new Promise((resolve) => setTimeout(resolve, 20))
  assert.ok(isLetGo, 'the agent reads drops for a command that has ended')
})

test('drops separates records from before the command started from new ones', async () => {
  answers = {
    drops: async function* () {
      yield drop
      yield { ...drop, time: '2999-01-01T00:00:00.000Z' }
    },
  }
  const { stderr } = await run('drops')
  assert.match(
    stderr,
    /^Dropped before this command started:\nWhat to do about DROP_NO_GATEWAY: label a node\.\nDropped since then:\n/,
  )
})

test('status names each reason for drops once, as metrics do, with a remedy', async () => {
  const drops = [
    { verdict: 'DROP_NO_GATEWAY', reason: 'No egress gateway found', remedy: 'label a node', packets: 12 },
  ]
  answers = { config: () => ({}), status: async () => ({ ...status, drops }) }
  const { stdout } = await run('status')
  assert.match(stdout, /^Packets dropped: +12 since the datapath was loaded$/m)
  assert.match(stdout, /^ {2}- 12 No egress gateway found \(DROP_NO_GATEWAY\): label a node$/m)
})

test('drops ends when the agent stops, and says so', async () => {
  answers = {
    drops: async function* () {
      yield drop
    },
  }
  const { code, stderr } = await run('drops')
  assert.equal(code, 1)
  assert.match(stderr, /sallyport: the agent has stopped: run the command again when the agent is back\n$/)
})

const status: AgentStatus = {
  version: '0.1.0',
  node: 'kind-worker',
  isReady: true,
  startedAt: '2026-01-01T00:00:00Z',
  kernel: '6.18.0',
  devices: [],
  podCIDRs: [],
  masquerading: { ipv4: true, ipv6: false },
  slot: 0,
  tunnel: { device: 'sallyport', port: 8472, mtu: 1450 },
  counts: { pods: 0, policies: 0, nodes: 1, mappings: 0 },
  verdicts: [],
  drops: [],
  problems: [],
}

test('status waits for an agent that is not ready yet', async () => {
  let asked = 0
  answers = { config: () => ({}), status: async () => ({ ...status, isReady: ++asked > 2 }) }
  const well = await run('status', '--wait')
  assert.equal(well.code, 0)
  assert.match(well.stdout, /^Health: +OK$/m)
  answers = { config: () => ({}), status: async () => ({ ...status, problems: ['no slot yet'] }) }
  assert.equal((await run('status', '--wait', '--wait-duration', '100ms')).code, 1)
})

test('a user with a kubeconfig asks the cluster, even on a node, and a pod without one asks the agent', async () => {
  answers = { config: () => ({ mtu: '1400' }) }
  const home = join(directory, 'home')
  mkdirSync(join(home, '.kube'), { recursive: true })
  writeFileSync(join(home, '.kube/config'), 'a: cluster of none')
  const onNode = await runCommand(['config', 'view'], { ...environment, HOME: home })
  assert.match(onNode.stderr, /the kubeconfig .* has no current context/)
  const inPod = { ...environment, HOME: home, KUBERNETES_SERVICE_HOST: '10.96.0.1' }
  assert.equal((await runCommand(['config', 'view'], inPod)).stdout, 'mtu   1400\n')
})

test('an error of the agent is printed with the agent’s own message', async () => {
  answers = {}
  assert.deepEqual(await run('status'), {
    code: 1,
    stdout: '',
    stderr: 'sallyport: the agent answered with an error: no answer to status was chosen\n',
  })
})

test('without an agent the command says where to run it', async () => {
  const missing = join(directory, 'none.sock')
  assert.equal(existsSync(missing), false)
  const { code, stderr } = await runCommand(['bpf', 'egress', 'list'], { SALLYPORT_SOCKET: missing })
  assert.equal(code, 1)
  assert.match(
    stderr,
    /no agent runs here .*--field-selector spec\.nodeName=NODE\. Then: kubectl -n kube-system exec/,
  )
})
