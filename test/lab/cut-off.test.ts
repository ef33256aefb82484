import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { stopLab } from '../../src/lab/lab.ts'
import { runInside } from '../../src/lab/machines/host.ts'
import { freeze } from '../../src/lab/machines/machine.ts'
import { addressesPatched, cutOff, nodeDeleted, reconnect, tunnelFiltered } from '../support/cut-offs.ts'
import {
  type Cluster,
  type ClusterPlan,
  comeBack,
  type Death,
  machineOf,
  renewAgents,
  setUpCluster,
} from '../support/gateway-deaths.ts'
import { type Held, holdThrough, wrongSources } from '../support/held-connections.ts'
import { compileHold } from '../support/hold-program.ts'
import { cannotRun, eventually, hangTimeoutMs } from './lab-under-test.ts'

/*
 * A node that is cut off from the others, or that they do not know, must not take over what living gateways answer for: the
 * world would send its answers to a node whose tunnel leads nowhere. The egress IP in use is 172.18.0.42, at gateway1.
 */

const inUse = '172.18.0.42'
/* Six seconds are enough for every mistake: each of these was made within three, and lasted for as long as its cause did. */
const load = { connections: 300, senders: 30, seconds: 7, diesAfterMs: 1_000 }

const addressesOf = (cluster: Cluster, node: string): string =>
  runInside(machineOf(cluster, node), ['ip', '-o', 'address'])
const hasAddress = (cluster: Cluster, node: string, address = inUse): boolean =>
  new RegExp(`inet ${address.replaceAll('.', '[.]')}/`).test(addressesOf(cluster, node))

/** Everything that must hold while a node other than the holder is cut off, or is known wrongly. */
async function disturbsNobody(
  cluster: Cluster,
  death: Death,
  bystanders: readonly string[],
  address = inUse,
): Promise<Held> {
  const takers = new Set<string>()
  const sampling = new AbortController()
  const samples = (async () => {
    while (!sampling.signal.aborted) {
      for (const node of bystanders) if (hasAddress(cluster, node, address)) takers.add(node)
      await setTimeout(100)
    }
  })()
  const { held, seen } = await holdThrough(cluster, death, load)
  sampling.abort()
  await samples
  assert.deepEqual([...takers], [], `took over ${address}, which another gateway answers for`)
  assert.equal(held.notOpened, 0)
  assert.equal(held.broken, 0, 'connections broke')
  assert.equal(held.newFlowsFailed, 0, 'new connections failed')
  assert.equal(wrongSources(seen), 0, `seen: ${JSON.stringify(seen.sources)}`)
  assert.ok(held.stallMs.max < 5_000, `a connection stood still for ${held.stallMs.max} ms`)
  return held
}

const conditionOf = (cluster: Cluster, node: string): Promise<string> =>
  cluster.type(
    `kubectl get egressnode ${node} -o 'jsonpath={.status.conditions[?(@.type=="Connected")].status} {.status.conditions[?(@.type=="Connected")].reason}'`,
  )

async function agentStatus({ type }: Cluster, node: string): Promise<string> {
  const agent = await type(
    `kubectl -n kube-system get pods -l k8s-app=cilium --field-selector spec.nodeName=${node} -o name`,
  )
  return type(`kubectl -n kube-system exec ${agent} -- cilium status`)
}

const isConnected = (cluster: Cluster, node: string): Promise<void> =>
  eventually(
    `${node} is connected`,
    async () => (await conditionOf(cluster, node).catch(() => '')) === 'True Connected',
  )

async function isAtHome(cluster: Cluster, owner = 'gateway1'): Promise<void> {
  await renewAgents(cluster, ['gateway2'])
  await eventually(`${owner} alone has ${inUse}`, async () =>
    cluster.state.nodes.every(({ name }) => hasAddress(cluster, name) === (name === owner)),
  )
}

/** The address of the pool that a gateway has been given, once it alone has it. */
async function grantedTo(cluster: Cluster, gateway: string): Promise<string> {
  const path = '{.status.groupStatuses[0].egressIPByGatewayIP}'
  const tunnelAddress = await cluster.type(
    `kubectl get egressnode ${gateway} -o 'jsonpath={.status.tunnelAddress}'`,
  )
  let address = ''
  await eventually(`${gateway} alone has an address of the pool`, async () => {
    const grants = JSON.parse(await cluster.type(`kubectl get iegp failover -o 'jsonpath=${path}'`))
    address = grants[tunnelAddress] ?? ''
    return (
      address !== '' &&
      cluster.state.nodes.every(({ name }) => hasAddress(cluster, name, address) === (name === gateway))
    )
  })
  return address
}

/** The clusters of these tests, each for one block of them. */
function clusterFor(name: string, plan: ClusterPlan): { readonly cluster: () => Cluster } {
  let cluster: Cluster | undefined
  before(async () => {
    compileHold()
    cluster = await setUpCluster(name, plan)
  })
  after(() => stopLab(name))
  return { cluster: () => cluster ?? assert.fail('the cluster did not start') }
}

describe('with two gateways and a source node', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const { cluster } = clusterFor('test-cut-off', {
    gateways: 2,
    hasSource: true,
    addresses: 'interface',
    path: 'tunnel',
  })

  test('a standby gateway whose tunnel is filtered takes over nothing, and says that it reaches nobody', async () => {
    const death = tunnelFiltered('gateway2')
    await disturbsNobody(cluster(), death, ['gateway2'])
    assert.equal(await conditionOf(cluster(), 'gateway2'), 'False ReachesNoNode')
    assert.match(await agentStatus(cluster(), 'gateway2'), /reaches no other node through the tunnel/)
    await death.undo?.(cluster())
    await isConnected(cluster(), 'gateway2')
  })

  test('a standby gateway whose tunnel is filtered takes over nothing while operators and API server are down', async () => {
    const death = { ...tunnelFiltered('gateway2'), isAlone: true }
    await disturbsNobody(cluster(), death, ['gateway2'])
    await death.undo?.(cluster())
    await comeBack(cluster())
    await isConnected(cluster(), 'gateway2')
  })

  for (const [what, addresses] of [
    ['no InternalIP', [['Hostname', 'gateway2']]],
    ['an ExternalIP alone', [['ExternalIP', '172.18.0.4'], ['Hostname', 'gateway2']]],
    ['an IPv6 address before its own', [['InternalIP', 'fc00:f853:ccd:e793::4'], ['InternalIP', '172.18.0.4']]],
    ['an address that the node does not have', [['InternalIP', '172.18.0.99']]],
  ] as const) // biome-ignore format: a table
    test(`a standby gateway whose Node object lists ${what} takes over nothing`, async () => {
      const death = addressesPatched('gateway2', what, addresses)
      await disturbsNobody(cluster(), death, ['gateway2'])
      await death.undo?.(cluster())
      await isConnected(cluster(), 'gateway2')
    })

  test('a holder whose Node object lists no InternalIP keeps its flows, and policies say what is wrong', async () => {
    const death = addressesPatched('gateway1', 'no InternalIP', [['Hostname', 'gateway1']])
    await disturbsNobody(cluster(), death, ['gateway2'])
    const conditions = await cluster().type(
      `kubectl get iegp failover -o 'jsonpath={.status.conditions[*].message}'`,
    )
    assert.match(conditions, /No InternalIP in status.addresses of Node gateway1/)
    assert.equal(await conditionOf(cluster(), 'gateway1'), 'True NoInternalIP')
    await death.undo?.(cluster())
    await isConnected(cluster(), 'gateway1')
  })

  test('a source node whose Node object lists no InternalIP keeps its established flows and opens new ones', async () => {
    const death = addressesPatched('source', 'no InternalIP', [['Hostname', 'source']])
    await disturbsNobody(cluster(), death, ['gateway2', 'source'])
    assert.equal(await conditionOf(cluster(), 'source'), 'True NoInternalIP')
    await death.undo?.(cluster())
    await isConnected(cluster(), 'source')
  })

  test('a standby gateway whose Node object is deleted while it runs takes over nothing', async () => {
    const death = nodeDeleted('gateway2')
    await disturbsNobody(cluster(), death, ['gateway2'])
    await death.undo?.(cluster())
    await isConnected(cluster(), 'gateway2')
  })

  test('a holder whose tunnel is filtered loses its address to the other gateway, and takes over nothing', async () => {
    const death = tunnelFiltered('gateway1')
    const { held } = await holdThrough(cluster(), death, load)
    assert.equal(held.broken, 0)
    assert.equal(held.newFlowsFailed, 0)
    assert.ok(hasAddress(cluster(), 'gateway2'), 'gateway2 has taken over')
    await death.undo?.(cluster())
    await isAtHome(cluster())
  })

  test('a gateway that has taken over gives that up when it is cut off itself', async () => {
    const frozen = machineOf(cluster(), 'gateway1')
    freeze(frozen.cgroup, true)
    await eventually('gateway2 has taken over', async () => hasAddress(cluster(), 'gateway2'))
    cutOff(cluster(), 'gateway2')
    await eventually('gateway2 has given it up', async () => !hasAddress(cluster(), 'gateway2'), 30_000)
    freeze(frozen.cgroup, false)
    reconnect(cluster(), 'gateway2')
    await isAtHome(cluster())
  })

  test('a gateway that is cut off does not take over when the holder dies afterwards', async () => {
    cutOff(cluster(), 'gateway2')
    await setTimeout(1_000)
    const frozen = machineOf(cluster(), 'gateway1')
    freeze(frozen.cgroup, true)
    await setTimeout(3_000)
    assert.ok(!hasAddress(cluster(), 'gateway2'))
    reconnect(cluster(), 'gateway2')
    await eventually('gateway2 takes over once it is back', async () => hasAddress(cluster(), 'gateway2'))
    freeze(frozen.cgroup, false)
    await isAtHome(cluster())
  })
})

describe('with three gateways and a pool of addresses', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const { cluster } = clusterFor('test-cut-off-pool', { gateways: 3, hasSource: true, addresses: 'pool' })
  const others = ['gateway2', 'gateway3']

  test('two gateways that are cut off from all nodes take over nothing', async () => {
    const both: Death = {
      way: 'cut off from all nodes',
      happen: (given) => others.map((node) => cutOff(given, node)),
    }
    await disturbsNobody(cluster(), both, others)
    for (const node of others) reconnect(cluster(), node)
    for (const node of others) await isConnected(cluster(), node)
  })

  test('a holder whose Node object is deleted while it runs gives its address up, and another gateway gets it', async () => {
    const death = nodeDeleted('gateway1')
    await death.happen(cluster())
    await eventually('gateway1 has nothing of the pool', async () => !/172[.]18[.]0[.]4[23]/.test(addressesOf(cluster(), 'gateway1'))) // biome-ignore format: one line
    const { held, seen } = await holdThrough(cluster(), { way: 'nothing', happen: () => {} }, load)
    assert.deepEqual([held.broken, held.newFlowsFailed, wrongSources(seen)], [0, 0, 0])
    await death.undo?.(cluster())
    await isConnected(cluster(), 'gateway1')
  })

  test('a node that is deleted while it is cut off from the API server takes over nothing', async () => {
    const address = await grantedTo(cluster(), 'gateway1')
    const cut = 'gateway2'
    const unaware: Death = {
      way: 'deleted while it does not hear of it',
      happen: async (given) => {
        runInside(machineOf(given, cut), [
          'nft',
          'add table inet deaf; add chain inet deaf out { type filter hook output priority 0; }; add rule inet deaf out tcp dport 6443 drop',
        ])
        await nodeDeleted(cut).happen(given)
      },
    }
    await disturbsNobody(cluster(), unaware, others, address)
  })
})

describe('with two gateways and no other node', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const { cluster } = clusterFor('test-cut-off-alone', {
    gateways: 2,
    hasSource: false,
    addresses: 'interface',
  })

  test('a gateway that is cut off takes over nothing while the holder answers ARP', async () => {
    cutOff(cluster(), 'gateway2')
    await setTimeout(6_000)
    assert.ok(!hasAddress(cluster(), 'gateway2'))
    assert.equal(await conditionOf(cluster(), 'gateway2'), 'False ReachesNoNode')
    reconnect(cluster(), 'gateway2')
    await isConnected(cluster(), 'gateway2')
  })

  test('a gateway takes over when the holder is switched off and nothing answers ARP', async () => {
    const { host } = cluster().state
    assert.ok(host)
    const { held, seen } = await holdThrough(
      cluster(),
      { way: 'link cut', happen: () => runInside(host, ['ip', 'link', 'set', 'veth3', 'down']) },
      load,
    )
    assert.deepEqual([held.broken, held.newFlowsFailed, wrongSources(seen)], [0, 0, 0])
    assert.ok(hasAddress(cluster(), 'gateway2'))
    runInside(host, ['ip', 'link', 'set', 'veth3', 'up'])
    await isAtHome(cluster())
  })
})
