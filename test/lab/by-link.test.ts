import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { dropFrames, heal, portOf } from '../support/switch.ts'
import { cannotRun, curlOutpost, eventually, hangTimeoutMs, labFor, type } from './lab-under-test.ts'
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
})
