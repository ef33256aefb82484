import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { EgressNode } from '../../src/api/egress-node.ts'
import { restartApiServer, stopApiServer } from '../../src/lab/daemons/api-server.ts'
import type { LabState } from '../../src/lab/lab-state.ts'
import { dropFrames, heal, packetsBetween } from '../support/switch.ts'
import {
  cannotRun,
  curlOutpost,
  eventually,
  hangTimeoutMs,
  labFor,
  processesOf,
  type,
} from './lab-under-test.ts'

const granted = 'Access granted. Your source IP (172.18.0.42) matches an allowed IP.'
let streams = 0
let streamFile = ''

/** A connection on which something comes all the time. The outpost ends it after a minute: each test has its own. */
async function startStream(state: LabState): Promise<void> {
  streamFile = `/run/stream${++streams}.txt`
  await type(
    state,
    `kubectl exec xwing -- sh -c 'curl -sN http://172.18.0.7:8000/stream >${streamFile} 2>&1 </dev/null &'`,
  )
  await eventually('the connection is there', async () => (await readStream(state)).length > 0)
}

/** The lines so far: milliseconds since the connection began, and the address that the outpost sees. */
async function readStream(state: LabState): Promise<readonly { ms: number; address: string }[]> {
  const text = await type(state, `kubectl exec xwing -- sh -c 'cat ${streamFile} 2>/dev/null || true'`)
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => ({ ms: Number(line.split(' ')[0]), address: line.split(' ')[1] ?? '' }))
}

async function assertAlive(state: LabState): Promise<void> {
  const before = await readStream(state)
  await eventually(
    'the live connection goes on',
    async () => (await readStream(state)).length > before.length,
    10_000,
  )
  assert.deepEqual([...new Set((await readStream(state)).map(({ address }) => address))], ['172.18.0.42'])
}

async function assertNewConnections(state: LabState): Promise<void> {
  const answers = await type(
    state,
    `kubectl exec xwing -- sh -c 'for i in 1 2 3 4 5; do ${curlOutpost}; done'`,
  )
  assert.deepEqual(answers.split('\n'), Array(5).fill(granted))
}

/** Every process may be killed at any moment and started again. */
describe('Sallyport under traffic', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-killed', { story: { until: 'the policy' } })

  test('established and new connections use the egress IP', async () => {
    await startStream(lab.state())
    await assertAlive(lab.state())
  })

  for (const [who, node] of [
    ["the source node's agent", 'kind-worker'],
    ["the gateway's agent", 'kind-worker3'],
  ] as const)
    test(`connections survive when ${who} is killed, and a new agent starts`, async () => {
      const state = lab.state()
      await startStream(state)
      const killed = await processesOf(state, node, 'src/agent/main.ts')
      assert.ok(killed.length > 0)
      for (const pid of killed) process.kill(pid, 'SIGKILL')
      await assertNewConnections(state)
      await assertAlive(state)
      await eventually('another agent runs and is ready', async () => {
        const [pid] = await processesOf(state, node, 'src/agent/main.ts')
        if (pid === undefined || killed.includes(pid)) return false
        const ready = await type(
          state,
          'kubectl -n kube-system get ds cilium -o jsonpath={.status.numberReady}',
        )
        return ready === '5'
      })
      await assertNewConnections(state)
      await assertAlive(state)
    })

  test('a policy is not Ready while an agent has not applied it, and then its pods leave with the egress IP', async () => {
    const state = lab.state()
    const policy = JSON.stringify({
      apiVersion: 'cilium.io/v2',
      kind: 'CiliumEgressGatewayPolicy',
      metadata: { name: 'empire' },
      spec: {
        selectors: [{ podSelector: { matchLabels: { org: 'empire' } } }],
        destinationCIDRs: ['172.18.0.0/16'],
        egressGateway: { nodeSelector: { matchLabels: { 'egress-gw': 'true' } }, interface: 'net0' },
      },
    })
    const node = await type(state, 'kubectl get pod tiefighter -o jsonpath={.spec.nodeName}')
    const agents = await processesOf(state, node, 'src/agent/main.ts')
    assert.ok(agents.length > 0)
    const ready = (): Promise<string> =>
      type(state, `kubectl get cegp empire -o 'jsonpath={.status.conditions[?(@.type=="Ready")].reason}'`)
    for (const pid of agents) process.kill(pid, 'SIGSTOP')
    try {
      await type(state, `kubectl apply -f - <<'E'\n${policy}\nE`)
      await eventually('the operator has seen it', async () => (await ready()) !== '')
      await setTimeout(3_000)
      assert.equal(await ready(), 'Applying')
    } finally {
      for (const pid of agents) process.kill(pid, 'SIGCONT')
    }
    await type(state, 'kubectl wait --for=condition=Ready cegp/empire --timeout=60s')
    assert.match(await type(state, `kubectl exec tiefighter -- ${curlOutpost}`), /172\.18\.0\.42/)
    await type(state, 'kubectl delete cegp empire')
  })

  test('connections survive a drain of the gateway', async () => {
    const state = lab.state()
    await startStream(state)
    await type(
      state,
      'kubectl drain kind-worker3 --ignore-daemonsets --delete-emptydir-data --force --timeout=60s',
    )
    await assertNewConnections(state)
    await assertAlive(state)
    await type(state, 'kubectl uncordon kind-worker3')
    await assertNewConnections(state)
    await assertAlive(state)
  })

  test('a source node that alone cannot reach the gateway uses the successor', async () => {
    const state = lab.state()
    await startStream(state)
    const source = await type(state, 'kubectl get pod xwing -o jsonpath={.spec.nodeName}')
    const cutOff = async (): Promise<readonly string[]> => {
      const { items } = JSON.parse(await type(state, 'kubectl get egressnodes -o json')) as {
        items: EgressNode[]
      }
      return items.flatMap(({ metadata, status }) =>
        (status?.unreachable ?? []).map((gateway) => `${metadata.name} misses ${gateway}`),
      )
    }
    dropFrames(state, 'cut', [packetsBetween(state, source, 'kind-worker3')])
    await eventually(
      'it alone is cut off',
      async () => (await cutOff()).join() === `${source} misses kind-worker3`,
    )
    await assertNewConnections(state)
    await assertAlive(state)
    assert.match(await type(state, `kubectl exec ywing -- ${curlOutpost}`), /172\.18\.0\.42/)
    heal(state, 'cut')
    await eventually('it is not any more', async () => (await cutOff()).length === 0)
    await assertAlive(state)
  })

  test('connections survive when all Sallyport pods are deleted at once', async () => {
    const state = lab.state()
    await startStream(state)
    await type(
      state,
      'kubectl -n kube-system delete pods -l app.kubernetes.io/managed-by=sallyport --now --wait=false',
    )
    await assertNewConnections(state)
    await assertAlive(state)
    await eventually(
      'they are back',
      async () => (await type(state, 'cilium status >/dev/null && echo well || true')) === 'well',
      60_000,
    )
    await assertNewConnections(state)
    await assertAlive(state)
  })

  test('slots stay when the operators are killed, and a new leader writes the policy’s status', async () => {
    const state = lab.state()
    await startStream(state)
    const slots = 'kubectl get egressnodes -o jsonpath="{range .items[*]}{.metadata.name}={.spec.slot} {end}"'
    const before = await type(state, slots)
    const nodes = state.nodes.map(({ name }) => name)
    const operators = (
      await Promise.all(nodes.map((node) => processesOf(state, node, 'src/operator/main.ts')))
    ).flat()
    assert.ok(operators.length >= 2)
    for (const pid of operators) process.kill(pid, 'SIGKILL')
    await assertNewConnections(state)
    await type(
      state,
      `kubectl patch cegp outpost --type merge -p '{"spec":{"excludedCIDRs":["172.18.9.0/24"]}}'`,
    )
    await eventually(
      'a new leader says what it makes of the change',
      async () =>
        (await type(state, 'kubectl get cegp outpost -o jsonpath={.status.observedGeneration}')) === '2',
      60_000,
    )
    assert.equal(await type(state, slots), before)
    await assertAlive(state)
  })

  test('connections survive an outage of the API server, and agents follow changes afterwards', async () => {
    const state = lab.state()
    await startStream(state)
    const before = await type(state, 'kubectl get pods -o name')
    await stopApiServer(state.name)
    await setTimeout(2_000)
    await restartApiServer(state.name)
    await eventually(
      'it answers again',
      async () => (await type(lab.state(), 'kubectl get pods -o name || true')) === before,
    )
    await assertNewConnections(lab.state())
    await assertAlive(lab.state())
    await type(state, 'kubectl label pod tiefighter org=alliance --overwrite')
    await eventually('agents follow changes again', async () =>
      (await type(lab.state(), `kubectl exec tiefighter -- ${curlOutpost}`)).includes(granted),
    )
  })
})
