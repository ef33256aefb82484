import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { stopLab } from '../../src/lab/lab.ts'
import { runInside } from '../../src/lab/machines/host.ts'
import {
  type Cluster,
  comeBack,
  type Death,
  deaths,
  machineOf,
  pathFailures,
  renewAgents,
  setUpCluster,
  useTunnel,
} from '../support/gateway-deaths.ts'
import {
  allowedAddresses,
  forget,
  type Held,
  holdThrough,
  seen,
  wrongSources,
} from '../support/held-connections.ts'
import { capture, compileHold } from '../support/hold-program.ts'
import { dropFrames, heal, packetsBetween } from '../support/switch.ts'
import { cannotRun, eventually, hangTimeoutMs, runtime } from './lab-under-test.ts'

const name = 'test-failover'
/** `make test-all` holds 10,000; what breaks one connection shows with fewer, too. */
const connections = Number(process.env.SALLYPORT_TEST_CONNECTIONS ?? 2_000)
/** A gateway is unreachable after 350 ms, and a successor takes over in as many again: the rest is to see that it stays so. */
const load = { connections, senders: 100, seconds: 5, diesAfterMs: 1_000 }
const [first = ''] = allowedAddresses

const setLink = (cluster: Cluster, port: string, direction: 'up' | 'down'): unknown =>
  cluster.state.host && runInside(cluster.state.host, ['ip', 'link', 'set', port, direction])

/** The successor does not hear the gateway, which lives, and takes its address: both have it. */
const bothClaim: Death = {
  way: 'both claim the address',
  happen: ({ state }) => dropFrames(state, 'deaf', [packetsBetween(state, 'gateway1', 'gateway2')]),
  undo: ({ state }) => heal(state, 'deaf'),
}

const allGone: Death = {
  way: 'all gateways gone for three seconds',
  lastsSeconds: 3,
  happen: async (cluster) => {
    for (const port of ['veth3', 'veth4']) setLink(cluster, port, 'down')
    await setTimeout(3_000)
    for (const port of ['veth3', 'veth4']) setLink(cluster, port, 'up')
  },
  undo: () => {},
}

/** With which address a new connection of the pod arrives. */
async function sourceOfNew(cluster: Cluster): Promise<string> {
  await forget(cluster)
  await capture(cluster.inPod(['timeout', '2', 'bash', '-c', 'exec 3<>/dev/tcp/172.18.0.7/9100'])).catch(
    () => {},
  )
  return Object.keys((await seen(cluster)).sources).join(' ')
}

const addressesOf = (cluster: Cluster, node: string): string =>
  runInside(machineOf(cluster, node), ['ip', '-o', 'address'])

const gatewaysByLink = ({ type }: Cluster): Promise<string> =>
  type("kubectl get egressnode source -o jsonpath='{.status.byLink}'")

describe(`a gateway dies under ${connections} connections`, {
  skip: cannotRun,
  timeout: 3 * hangTimeoutMs,
}, () => {
  let cluster: Cluster
  before(async () => {
    compileHold()
    cluster = await setUpCluster(name, { runtime })
  })
  after(() => stopLab(name))

  const dies = async (death: Death): Promise<Held> => {
    const { held, seen } = await holdThrough(cluster, death, {
      ...load,
      seconds: load.seconds + (death.lastsSeconds ?? 0),
    })
    assert.equal(held.notOpened, 0)
    assert.equal(held.broken, 0, 'connections broke')
    assert.equal(wrongSources(seen), 0, `seen: ${JSON.stringify(seen.sources)}`)
    return held
  }
  /** With what they remember of one death, agents take five seconds longer. To renew them takes as long, and both processors. */
  let remembered = 0
  const recovers = async (death: Death): Promise<void> => {
    await death.undo?.(cluster)
    if (death.isAlone) await comeBack(cluster)
    if (!death.isForgotten && ++remembered % 2 === 0) await renewAgents(cluster, ['gateway2', 'source'])
    await eventually(
      'the gateway has its address for itself, and new flows',
      async () =>
        !addressesOf(cluster, 'gateway2').includes(`${first}/32`) && (await sourceOfNew(cluster)) === first,
    )
  }

  const withReturn = deaths.filter(({ undo }) => undo !== undefined)
  for (const death of [bothClaim, ...withReturn])
    test(`no connection breaks, changes its address or fails to open (${death.way})`, async () => {
      assert.equal((await dies(death)).newFlowsFailed, 0)
      if (death === bothClaim)
        for (const node of ['gateway1', 'gateway2'])
          assert.match(addressesOf(cluster, node), new RegExp(first))
      await recovers(death)
    })

  test('while all gateways are gone, drops are counted with a reason, and traffic resumes without a restart', async () => {
    await dies(allGone)
    const counts = await cluster.type('docker exec source curl -s http://127.0.0.1:9787/metrics')
    assert.match(counts, /verdict="DROP_NO_LIVE_GATEWAY"\} [1-9]/)
    await recovers(allGone)
  })

  for (const death of pathFailures)
    test(`no connection breaks, changes its address or fails to open (${death.way})`, async () => {
      assert.equal((await dies(death)).newFlowsFailed, 0)
      assert.equal((await gatewaysByLink(cluster)).includes('gateway1'), death.way === 'tunnel filtered')
      assert.doesNotMatch(addressesOf(cluster, 'gateway2'), new RegExp(`${first}/32`), 'nobody takes over')
      await recovers(death)
      await eventually('packets take the link', async () =>
        (await gatewaysByLink(cluster)).includes('gateway1'),
      )
    })

  describe('with egressPath=tunnel', () => {
    const byTunnel = ['agents upgraded', 'link cut', "node's processes frozen"]
    before(() => useTunnel(cluster))
    for (const death of withReturn.filter(({ way }) => byTunnel.includes(way)))
      test(`no connection breaks, changes its address or fails to open (${death.way})`, async () => {
        assert.equal((await dies(death)).newFlowsFailed, 0)
        assert.doesNotMatch(await gatewaysByLink(cluster), /gateway1/)
        await recovers(death)
      })
  })

  for (const death of deaths.filter(({ undo }) => undo === undefined))
    test(`no connection breaks, and the other gateway stays the holder (${death.way})`, async () => {
      assert.equal((await dies(death)).newFlowsFailed, 0)
      assert.ok(allowedAddresses.includes(await sourceOfNew(cluster)))
      assert.match(addressesOf(cluster, 'gateway2'), new RegExp(`${first}/32`))
    })
})
