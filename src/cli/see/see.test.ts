import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { runCommand } from '../../../test/support/command-under-test.ts'
import type { ExplainRequest, Explanation } from '../../agent/api/explain/explanation.ts'
import type { FlowQuery, FlowRow } from '../../agent/api/flows/flow-row.ts'
import type { AgentStatus } from '../../agent/api/local-api.ts'
import type { FlowRecord, NatLogAnswer, NatLogQuery } from '../../agent/api/nat-log/nat-log-row.ts'
import { type LocalApi, serveLocalApi } from '../../agent/api/serve.ts'
import { parseAddress } from '../../net/address.ts'
import { parseEnd } from './ends.ts'

/** The agent's real socket, with the answers that a test chooses. */
let answers: Partial<LocalApi> = {}
const directory = mkdtempSync(join(tmpdir(), 'sallyport-cli-'))
const socket = join(directory, 'agent.sock')
const api = new Proxy({} as LocalApi, {
  get: (_target, name: keyof LocalApi) => answers[name],
})
const run = (...words: string[]) => runCommand(words, { SALLYPORT_SOCKET: socket, HOME: directory })

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

const flowRow: FlowRow = {
  node: 'kind-worker',
  namespace: 'default',
  pod: 'xwing',
  egressIp: address('172.18.0.42'),
  policy: 'outpost',
  connections: 1,
  ...{ packetsOut: 6, packetsIn: 4, bytesOut: 600, bytesIn: 4000 },
  flow: {
    ...{
      protocol: 'TCP',
      source: '10.244.2.2:37822',
      egress: '172.18.0.42:32863',
      destination: '172.18.0.7:8000',
    },
    ...{ state: 'established', since: '2026-01-01T00:00:00.000Z', lastPacket: '2026-01-01T00:00:01.000Z' },
  },
}
const streamOf = <T = FlowRow>(...rows: readonly T[]) =>
  async function* () {
    yield* rows
  }

test('flows passes its filters on, and prints a row for each flow', async () => {
  const asked: FlowQuery[] = []
  answers = {
    status: async () => ({ node: 'kind-worker' }) as AgentStatus,
    flows: (query) => {
      asked.push(query)
      return streamOf(flowRow)()
    },
  }
  const filters = [
    '--pod',
    'default/xwing',
    '--to',
    '172.18.0.0/16',
    '--state',
    'established',
    '--limit',
    '7',
  ]
  const { code, stdout } = await run('flows', ...filters)
  assert.equal(code, 0)
  assert.deepEqual(asked, [{ pod: 'default/xwing', to: '172.18.0.0/16', state: 'established', limit: '7' }])
  assert.match(
    stdout.split('\n')[1] ?? '',
    /^kind-worker +default\/xwing +TCP +172\.18\.0\.42:32863 +172\.18\.0\.7:8000 +outpost +established +2026-01-01T00:00:00Z +10 +4600$/,
  )
  assert.deepEqual(JSON.parse((await run('flows', '-o', 'json')).stdout), flowRow)
})

test('flows --top connections prints a sum for each pod, and the largest first', async () => {
  const { flow: _, ...sum } = flowRow
  answers = {
    status: async () => ({ node: 'kind-worker' }) as AgentStatus,
    flows: streamOf(sum, { ...sum, pod: 'tiefighter', connections: 9 }),
  }
  const lines = (await run('flows', '--top', 'connections')).stdout.trim().split('\n')
  assert.match(lines[1] ?? '', /default\/tiefighter +172\.18\.0\.42 +outpost +9 /)
  assert.match(lines[2] ?? '', /default\/xwing +172\.18\.0\.42 +outpost +1 /)
})

test('who asks for the port’s flows, and says whose the port is if it has none', async () => {
  const asked: FlowQuery[] = []
  answers = {
    status: async () => ({ node: 'kind-worker' }) as AgentStatus,
    owner: () => ({ isEgressIp: true, node: 'kind-worker' }),
    flows: (query) => {
      asked.push(query)
      return streamOf(...(asked.length === 1 ? [flowRow] : []))()
    },
  }
  const found = await run('who', '172.18.0.42:32863', '--to', '172.18.0.7:8000')
  assert.match(found.stdout, /default\/xwing/)
  const wanted = { egressIp: '172.18.0.42', egressPort: '32863', to: '172.18.0.7', toPort: '8000' }
  assert.deepEqual(asked, [wanted])
  const none = await run('who', '172.18.0.42:32863')
  assert.deepEqual({ code: none.code, stdout: none.stdout }, { code: 1, stdout: '' })
  assert.match(none.stderr, /no flow has port 32863 of 172\.18\.0\.42 now\. Node kind-worker owns the port/)
  assert.equal((await run('who', '172.18.0.42')).code, 2)
})

const record: FlowRecord = {
  ...{
    kind: 'flow',
    id: 'a.32863',
    node: 'kind-worker',
    namespace: 'default',
    pod: 'gone',
    policy: 'outpost',
  },
  ...{ protocol: 'TCP', source: '10.244.2.2:37822', egressIP: address('172.18.0.42'), egressPort: 32863 },
  ...{ begin: '2026-01-01T00:00:00.000Z', lastPacket: '2026-01-01T00:00:05.000Z' },
  ...{ packetsOut: 6, packetsIn: 4, bytesOut: 600, bytesIn: 400 },
}

test('who --at asks the log, shows a flow once, and says what the log lacks', async () => {
  const asked: NatLogQuery[] = []
  const end = '2026-01-01T00:04:05.000Z'
  const loss = { kind: 'loss', node: 'kind-worker', reason: 'limit', records: 7 } as const
  answers = {
    status: async () => ({ node: 'kind-worker' }) as AgentStatus,
    natLog: (query) => {
      asked.push(query)
      const cover = { kind: 'cover', node: 'kind-worker', isOn: true, sampling: 10, since: end } as const
      return streamOf<NatLogAnswer>(cover, { ...loss, begin: record.begin, end }, record, {
        ...record,
        end,
      })()
    },
  }
  const at = '2026-01-01T00:00:02Z'
  const { code, stdout, stderr } = await run(
    'who',
    '172.18.0.42:32863',
    '--to',
    '172.18.0.7:8000',
    '--at',
    at,
  )
  assert.equal(code, 0, stderr)
  assert.deepEqual(asked, [{ address: '172.18.0.42', port: '32863', at, to: '172.18.0.7', toPort: '8000' }])
  const [, row, ...others] = stdout.trim().split('\n')
  assert.match(row ?? '', /default\/gone +TCP +172\.18\.0\.42:32863 +- +outpost .*00:04:05\.000Z +10 +1000$/)
  assert.equal(others.length, 0)
  assert.match(stderr, /one in 10 flows/)
  assert.match(stderr, /lacks 7 records/)
  assert.match(stderr, /no flow that ended before 2026-01-01T00:04:05/)
})

test('who --at fails if no log has the flow, and says which nodes have no log', async () => {
  answers = {
    status: async () => ({ node: 'kind-worker' }) as AgentStatus,
    natLog: () => streamOf<NatLogAnswer>({ kind: 'cover', node: 'kind-worker', isOn: false, sampling: 1 })(),
  }
  const { code, stderr } = await run('who', '172.18.0.42:32863', '--at', '2026-01-01T00:00:02Z')
  assert.equal(code, 1)
  assert.match(stderr, /Node kind-worker keeps no NAT log/)
  assert.match(stderr, /no log has a flow with port 32863 of 172\.18\.0\.42/)
  assert.equal((await run('who', '172.18.0.42:32863', '--at', '14:02')).code, 2)
})

const said: Explanation = {
  isHypothetical: false,
  pod: { namespace: 'default', name: 'xwing', node: 'kind-worker', labels: { org: 'alliance' } },
  flow: { source: address('10.244.2.2'), destination: address('172.18.0.7'), port: 8000, protocol: 'tcp' },
  servicesBy: 'kube-proxy',
  policies: [
    { kind: 'CiliumEgressGatewayPolicy', name: 'outpost', selectsPod: true, because: [] },
    { kind: 'CiliumEgressGatewayPolicy', name: 'empire', selectsPod: false, because: ['the pod has label org=alliance, and the policy selects empire'] },
  ],
  rules: [{ kind: 'CiliumEgressGatewayPolicy', name: 'outpost', prefix: '172.18.0.0/16' as Explanation['rules'][number]['prefix'], isExcluded: false }],
  networkPolicies: { mode: 'enforce', restrictedBy: [], problems: [] },
  gateways: [{ node: 'kind-worker3', tunnelAddress: address('172.18.0.4'), egressIps: [address('172.18.0.42')], role: 'active', isReachable: true, problems: [] }],
  egressIps: [{ address: address('172.18.0.42'), order: ['kind-worker3'], holder: 'kind-worker3', ports: { owned: 64, inUse: 1, reclaimable: 0 }, podFlows: 1 }],
  decision: { verdicts: ['SENT_TO_HOLDER'], egressIps: [address('172.18.0.42')] },
  program: { verdict: 'SENT_TO_HOLDER', egressIp: address('172.18.0.42'), egressPort: 32863, holder: 'kind-worker3' },
  agrees: true,
} // biome-ignore format: one line a part

test('explain tells the story from the policies to the verdict', async () => {
  const asked: ExplainRequest[] = []
  answers = {
    status: async () => ({ node: 'kind-worker' }) as AgentStatus,
    explain: async (request) => {
      asked.push(request)
      return said
    },
  }
  const { code, stdout } = await run('explain', 'pod/xwing', '--to', '172.18.0.7:8000')
  assert.equal(code, 0)
  assert.deepEqual(asked, [
    { namespace: 'default', pod: 'xwing', to: '172.18.0.7', port: 8000, protocol: 'tcp' },
  ])
  for (const line of [
    'Pod default/xwing (10.244.2.2) on node kind-worker opens a TCP connection to 172.18.0.7:8000.',
    '  ✓ outpost selects the pod',
    '  - empire does not: the pod has label org=alliance, and the policy selects empire',
    '  ✓ 172.18.0.0/16 of outpost decides',
    '  ✓ kind-worker3   172.18.0.42   active   reachable',
    '  172.18.0.42   held by kind-worker3   no successor   63 of 64 ports free towards the destination   1 flows of the pod',
    '  It leaves through gateway kind-worker3 with the egress IP 172.18.0.42. (SENT_TO_HOLDER)',
  ])
    assert.ok(stdout.split('\n').includes(line), `${line} is not in:\n${stdout}`)
})

test('explain fails if the program did not do what was decided', async () => {
  const program = { verdict: 'SENT_TO_WORLD_MASQUERADED', egressIp: address('172.18.0.2') }
  answers = {
    status: async () => ({ node: 'kind-worker' }) as AgentStatus,
    explain: async () => ({ ...said, program, agrees: false }),
  }
  const { code, stdout } = await run('explain', 'xwing', '--to', '172.18.0.7')
  assert.equal(code, 1)
  assert.match(stdout, /This is NOT what was decided: SENT_TO_HOLDER with 172\.18\.0\.42/)
})

test('explain -f passes policies on, and refuses a file with anything else', async () => {
  const asked: ExplainRequest[] = []
  answers = {
    status: async () => ({ node: 'kind-worker' }) as AgentStatus,
    explain: async (request) => {
      asked.push(request)
      return { ...said, isHypothetical: true }
    },
  }
  const file = join(directory, 'policy.yaml')
  writeFileSync(file, 'kind: CiliumEgressGatewayPolicy\nmetadata: {name: new}\nspec: {}\n')
  const { stdout } = await run('explain', 'xwing', '--to', '172.18.0.7', '-f', file)
  assert.deepEqual(asked[0]?.policies, [
    { kind: 'CiliumEgressGatewayPolicy', metadata: { name: 'new' }, spec: {} },
  ])
  assert.match(stdout, /what would happen with the given policies/)
  writeFileSync(file, 'kind: Pod\nmetadata: {name: new}\n')
  assert.match(
    (await run('explain', 'xwing', '--to', '172.18.0.7', '-f', file)).stderr,
    /it must have policies only/,
  )
})

test('an end is an address with or without a port', () => {
  assert.deepEqual(parseEnd('192.0.2.7:443', 'x'), { address: '192.0.2.7', port: 443 })
  assert.deepEqual(parseEnd('192.0.2.7', 'x'), { address: '192.0.2.7', port: undefined })
  assert.deepEqual(parseEnd('2001:db8::7', 'x'), { address: '2001:db8::7', port: undefined })
  assert.deepEqual(parseEnd('[2001:db8::7]:443', 'x'), { address: '2001:db8::7', port: 443 })
  for (const wrong of ['example.org:443', '192.0.2.7:0', '192.0.2.7:65536', '', '192.0.2.7:'])
    assert.throws(() => parseEnd(wrong, '--to'), /--to: .* is not an address/)
})
