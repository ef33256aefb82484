import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { ipv4Of } from '../../src/lab/layout.ts'
import { dropFrames, heal, portOf } from '../support/switch.ts'
import { cannotRun, curlOutpost, eventually, hangTimeoutMs, labFor, type } from './lab-under-test.ts'
import { outpostFirewall, sendFrom } from './sent-packet.ts'
import { someNodes } from './story.ts'

const source = 'kind-worker'
const gateway = 'kind-worker3'
const egressIp = '172.18.0.42'

describe('a gateway on the same link as the pods’ node', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-by-link', {
    nodes: someNodes(source, gateway),
    story: { until: 'the policy' },
  })
  const run = (command: string): Promise<string> => type(lab.state(), command)
  const call = (): Promise<string> => run(`kubectl exec xwing -- ${curlOutpost} || true`)
  const counted = async (node: string, verdict: string): Promise<number> => {
    const metrics = await run(`docker exec ${node} curl -s http://127.0.0.1:9787/metrics`)
    const [, count] = new RegExp(`verdict="${verdict}"\\} (\\d+)`).exec(metrics) ?? []
    return Number(count ?? 0)
  }
  const filter = (match: string): void =>
    dropFrames(lab.state(), 'filter', [`iifname ${portOf(lab.state(), source)} ${match}`])
  const unfilter = (): void => heal(lab.state(), 'filter')
  /** Which counter a call moves: packets by the link, or by the tunnel. */
  const path = async (): Promise<string> => {
    const before = await counted(source, 'SENT_TO_HOLDER_BY_LINK')
    const tunnelled = await counted(source, 'SENT_TO_HOLDER')
    assert.match(await call(), new RegExp(egressIp))
    const [byLink, byTunnel] = [
      (await counted(source, 'SENT_TO_HOLDER_BY_LINK')) - before,
      (await counted(source, 'SENT_TO_HOLDER')) - tunnelled,
    ]
    return byLink > 0 && byTunnel === 0 ? 'link' : byLink === 0 && byTunnel > 0 ? 'tunnel' : 'both'
  }
  const eventuallyBy = (wanted: string): Promise<void> =>
    eventually(`packets go by the ${wanted}`, async () => (await path()) === wanted)

  test('gets packets without a tunnel, and sends what returns without one', async () => {
    await eventuallyBy('link')
    assert.ok((await counted(gateway, 'SENT_TO_OWNER_BY_LINK')) > 0)
    assert.match(
      await run(`docker exec ${source} sallyport status`),
      /Path to gateways: +by the link: kind-worker3/,
    )
  })

  test('gets them through the tunnel while the link drops packets with egress IPs', async () => {
    filter(`ip saddr ${egressIp}`)
    await eventuallyBy('tunnel')
    unfilter()
    await eventuallyBy('link')
  })

  test('stays reachable by the link while the tunnel is filtered', async () => {
    filter('udp dport 8472')
    await setTimeout(2_000)
    for (let calls = 0; calls < 3; calls++) assert.equal(await path(), 'link')
    unfilter()
  })

  describe('a test packet of a pod', () => {
    const outpost = (command: string): Promise<string> => run(`docker exec remote-outpost ${command}`)
    const send = (pod: string, to: string, more?: string) => sendFrom(lab.state(), pod, to, more)
    before(async () => {
      if (cannotRun) return
      await run(`echo '${outpostFirewall}' | docker exec -i remote-outpost nft -f -`)
      await eventuallyBy('link')
    })

    test('is followed to a server and back, and then reset', async () => {
      const { code, sent, steps } = await send('xwing', '172.18.0.7:8000')
      assert.equal(code, 0)
      assert.deepEqual(steps, [
        'kind-worker from_pod SYN SENT_TO_HOLDER_BY_LINK',
        'kind-worker3 from_world SYN SENT_FORWARDED',
        'kind-worker3 to_world SYN PASS_NOT_OURS',
        'kind-worker3 from_world SYN-ACK SENT_TO_OWNER_BY_LINK',
        'kind-worker3 to_world SYN-ACK PASS_NOT_OURS',
        'kind-worker from_world SYN-ACK SENT_TO_POD',
        'kind-worker from_pod RST SENT_TO_HOLDER_BY_LINK',
        'kind-worker3 from_world RST SENT_FORWARDED',
        'kind-worker3 to_world RST PASS_NOT_OURS',
      ])
      assert.equal(sent.egressIp, egressIp)
      assert.ok((sent.answeredAfterMs ?? 0) > 0)
      const flows = await run('sallyport flows --pod default/xwing --state reset -o json')
      assert.ok(flows.includes(`"${sent.egressIp}:${sent.egressPort}"`), flows)
    })

    test('shows a refusal by reset, a refusal by ICMP, and silence, each with the egress IP alone', async () => {
      const reset = await send('xwing', '172.18.0.7:8001')
      assert.deepEqual([reset.code, reset.sent.answer?.packet], [0, 'RST'])
      const prohibited = await send('xwing', '172.18.0.7:8002')
      const { answer } = prohibited.sent
      assert.deepEqual(
        [prohibited.code, answer?.packet, answer?.icmp, answer?.sender],
        [0, 'unreachable', 'type 3, code 13', '172.18.0.7'],
      )
      const silent = await send('xwing', '172.18.0.7:8003', '--wait 1')
      assert.deepEqual([silent.code, silent.sent.answer], [1, undefined])
      assert.deepEqual(silent.steps.slice(0, 2), [
        'kind-worker from_pod SYN SENT_TO_HOLDER_BY_LINK',
        'kind-worker3 from_world SYN SENT_FORWARDED',
      ])
      const datagram = await send('xwing', '172.18.0.7:8005', '--protocol udp')
      assert.deepEqual([datagram.code, datagram.sent.answer?.icmp], [0, 'type 3, code 3'])
      const askers = await outpost('nft list set inet test_packets askers')
      const ports = [...askers.matchAll(/([\d.]+) \. (\d+)/g)].map(
        ([, address, port]) => `${address} ${port}`,
      )
      for (const port of [8001, 8002, 8003])
        assert.deepEqual(
          ports.filter((each) => each.endsWith(` ${port}`)),
          [`${egressIp} ${port}`],
          askers,
        )
    })

    test('of a pod that no policy selects has the address of its node', async () => {
      const { code, sent, steps } = await send('tiefighter', '172.18.0.7:8000')
      assert.deepEqual([code, sent.answer?.packet], [0, 'SYN-ACK'])
      assert.equal(steps[0], 'kind-worker from_pod SYN SENT_TO_WORLD_MASQUERADED')
      const node = lab.state().nodes.find(({ name }) => name === source)
      assert.equal(sent.egressIp, ipv4Of(node?.lastOctet ?? 0))
    })

    test('is dropped on its own node when the gateway is dead', async () => {
      await run(`docker pause ${gateway}`)
      try {
        await setTimeout(1_000)
        const { code, steps, sent } = await send('xwing', '172.18.0.7:8000', '--wait 1')
        assert.equal(code, 1)
        assert.deepEqual(steps, ['kind-worker from_pod SYN DROP_NO_LIVE_GATEWAY'])
        assert.deepEqual(Object.keys(sent.notFollowed), [gateway])
      } finally {
        await run(`docker unpause ${gateway}`)
      }
    })
  })
})
