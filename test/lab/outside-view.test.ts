import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { FlowRow } from '../../src/agent/api/flows/flow-row.ts'
import type { FlowRecord, NatLogLine } from '../../src/agent/api/nat-log/nat-log-row.ts'
import { cannotRun, curlOutpost, eventually, hangTimeoutMs, labFor, type } from './lab-under-test.ts'
import { someNodes } from './story.ts'

/* What Sallyport says of its flows, against what a host outside the cluster counts and writes down without Sallyport. */

const trafficSeconds = Number(process.env.SALLYPORT_TEST_TRAFFIC_SECONDS ?? 12)
const manyFlows = Number(process.env.SALLYPORT_TEST_FLOWS ?? 0)
const skipMany =
  manyFlows === 0 && 'it takes minutes: set SALLYPORT_TEST_FLOWS=500 (make test-all has 10,000)'
const script = new URL('logged-flows.ts', import.meta.url).pathname
const outpost = '172.18.0.7'
const port = 9000
const noted = '/run/noted-flows'

const counters = `table inet outside {
  set out { type ipv4_addr; flags dynamic; size 64; }
  set back { type ipv4_addr; flags dynamic; size 64; }
  set flows { type inet_proto . ipv4_addr . inet_service . inet_service; flags dynamic; size 65535; }
  chain input { type filter hook input priority -300;
    ip saddr { 172.18.0.42, 172.18.0.43 } add @out { ip saddr counter }
    ip saddr { 172.18.0.42, 172.18.0.43 } meta l4proto { tcp, udp } add @flows { meta l4proto . ip saddr . th sport . th dport counter }
  }
  chain output { type filter hook output priority -300;
    ip daddr { 172.18.0.42, 172.18.0.43 } add @back { ip daddr counter }
  }
}`

interface Count {
  readonly packets: number
  /** With the Ethernet header. */
  readonly bytes: number
}

describe('what a host outside sees', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-outside-view', {
    nodes: someNodes('kind-worker', 'kind-worker3', 'kind-worker4'),
    story: {
      until: 'the policy',
      settings: ['natLog.enabled=true', 'natLog.destinations=true', 'natLog.maxRecordsPerSecond=100000'],
    },
  })
  const run = (command: string): Promise<string> => type(lab.state(), command)
  const outside = (command: string): Promise<string> => run(`docker exec remote-outpost sh -c '${command}'`)
  const hold = (pod: string, count: number, seconds: number): Promise<string> =>
    run(
      `kubectl exec ${pod} -- ${process.execPath} ${script} hold ${outpost} ${port} ${count} ${pod} ${seconds}`,
    )

  async function startServer(): Promise<void> {
    if (cannotRun) return
    await outside(
      `rm -f ${noted}; setsid ${process.execPath} ${script} serve ${port} ${noted} >/dev/null 2>&1 </dev/null &`,
    )
    await setTimeout(1000)
  }

  async function nftSet(name: string): Promise<ReadonlyMap<string, Count>> {
    const { nftables } = JSON.parse(await outside(`nft -j list set inet outside ${name}`)) as {
      readonly nftables: readonly { readonly set?: { readonly elem?: readonly Element[] } }[]
    }
    const elements = nftables.flatMap(({ set }) => set?.elem ?? []).map(({ elem }) => elem)
    return new Map(
      elements.map(({ val, counter: { packets, bytes } }) => {
        const key = typeof val === 'string' ? val : val.concat.join(' ')
        return [key, { packets, bytes: bytes + 14 * packets }]
      }),
    )
  }

  /** By egress IP and direction, of flows of policies. */
  async function metrics(): Promise<ReadonlyMap<string, Count>> {
    const text = await run('docker exec kind-worker curl -s http://127.0.0.1:9787/metrics')
    const counts = new Map<string, { packets: number; bytes: number }>()
    const pattern = /^sallyport_flow_(packets|bytes)_total\{(.*)\} (\S+)$/gm
    for (const [, what = '', labels = '', value] of text.matchAll(pattern)) {
      const of = (label: string): string => new RegExp(`${label}="([^"]*)"`).exec(labels)?.[1] ?? ''
      if (of('policy') === '') continue
      const key = `${of('egress_ip')} ${of('direction')}`
      const sum = counts.get(key) ?? { packets: 0, bytes: 0 }
      counts.set(key, { ...sum, [what]: sum[what as 'packets'] + Number(value) })
    }
    return counts
  }

  const records = async (): Promise<readonly FlowRecord[]> =>
    (await run('docker exec kind-worker cat /var/log/sallyport/nat.log || true'))
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as NatLogLine)
      .filter((line): line is FlowRecord => line.kind === 'flow')

  before(startServer)

  test('equals the counters of each egress IP within 1 %, and the NAT log flow by flow', async () => {
    await run(`echo '${counters}' | docker exec -i remote-outpost nft -f -`)
    const before = await metrics()
    const curls = `kubectl exec xwing -- sh -c 'end=$(($(date +%s)+${trafficSeconds})); while [ $(date +%s) -lt $end ]; do ${curlOutpost} >/dev/null; done'`
    const [answered] = await Promise.all([hold('xwing', 40, trafficSeconds), run(curls)])
    assert.equal(Number(answered), 40)
    await setTimeout(2000)
    const [out, back] = [await nftSet('out'), await nftSet('back')]
    assert.ok((out.get('172.18.0.42')?.packets ?? 0) > 500, JSON.stringify([...out]))
    await eventually('the metrics are of now', async () => {
      const first = await metrics()
      await setTimeout(3000)
      return JSON.stringify([...first]) === JSON.stringify([...(await metrics())])
    })
    const now = await metrics()
    for (const [direction, counted] of [
      ['out', out],
      ['in', back],
    ] as const)
      for (const [egressIp, external] of counted)
        for (const unit of ['packets', 'bytes'] as const) {
          const key = `${egressIp} ${direction}`
          const own = (now.get(key)?.[unit] ?? 0) - (before.get(key)?.[unit] ?? 0)
          const context = `${key}: ${own} ${unit}, and outside ${external[unit]}`
          assert.ok(Math.abs(own - external[unit]) <= external[unit] / 100, context)
          process.stdout.write(`${context}\n`)
        }

    const flows = await nftSet('flows')
    await run('kubectl delete pod xwing --grace-period=1')
    const keyOf = ({ protocol, egressIP, egressPort, destination = '' }: FlowRecord): string =>
      `${protocol.toLowerCase()} ${egressIP} ${egressPort} ${destination.split(':').at(-1)}`
    await eventually(
      'all flows have a record',
      async () => {
        const found = new Set((await records()).map(keyOf))
        return [...flows.keys()].every((key) => found.has(key))
      },
      180_000,
    )
    const found = Map.groupBy(await records(), keyOf)
    assert.deepEqual(
      [...found.keys()].filter((key) => !flows.has(key)),
      [],
    )
    for (const [key, rows] of found) {
      const sum = rows.reduce((packets, { packetsOut }) => packets + packetsOut, 0)
      assert.ok(
        rows.every(({ pod }) => pod === 'xwing'),
        key,
      )
      assert.ok(
        Math.abs(sum - (flows.get(key)?.packets ?? 0)) <= 1,
        `${key}: ${sum} packets, outside ${flows.get(key)?.packets}`,
      )
    }
    process.stdout.write(`${flows.size} flows have records\n`)
  })

  test('is what who says of many flows while pods come and go and a gateway fails', {
    skip: skipMany,
  }, async () => {
    await outside(`: >${noted}`)
    const pods = ['p1', 'p2', 'p3', 'p4']
    const start = (pod: string): Promise<string> =>
      run(
        `kubectl run ${pod} --labels org=alliance --image docker.io/tgraf/netperf --overrides '{"spec":{"nodeName":"kind-worker"}}' && kubectl wait --for=condition=Ready pod/${pod} --timeout=60s`,
      )
    await Promise.all(pods.map(start))
    const share = Math.ceil(manyFlows / pods.length)
    const seconds = 30 + Math.ceil(manyFlows / 100)
    const calls = pods.map((pod) => hold(pod, share, pod === 'p1' ? 12 : seconds).catch(() => '0'))
    await setTimeout(8000)
    await run('docker pause kind-worker3')
    await calls[0]
    await run('kubectl delete pod p1 --grace-period=1')
    await start('p5')
    const fifth = hold('p5', share, 10)
    await setTimeout(6000)
    const listed = await run('sallyport flows --node kind-worker --policy outpost --limit 200000 -o json')
    const at = new Date().toISOString()
    const rows = listed.split('\n').map((line) => JSON.parse(line) as FlowRow)
    await run('docker unpause kind-worker3')
    const answered = (await Promise.all([...calls, fifth])).map(Number)
    const seen = await seenOutside()
    const sample = rows
      .filter(
        ({ pod, flow }) =>
          pod !== undefined && flow?.protocol === 'UDP' && flow.destination.endsWith(`:${port}`),
      )
      .slice(0, 5)
    let checked = 0
    for (const { pod, flow } of rows) {
      if (flow === undefined || !flow.destination.endsWith(`:${port}`)) continue
      const words = seen.get(`${flow.protocol} ${flow.egress}`)
      /* The pod is gone, and its flows are still in the table. */
      assert.ok(words?.includes(pod ?? 'p1'), `${flow.protocol} ${flow.egress}: ${pod}, outside ${words}`)
      checked++
    }
    process.stdout.write(`${checked} of ${rows.length} listed flows are right; answered ${answered}\n`)
    assert.ok(checked >= manyFlows * 0.9, `${checked} flows were listed`)
    for (const { flow, pod } of sample) {
      const who = await run(`sallyport who ${flow?.egress} --to ${flow?.destination}`)
      assert.match(who, new RegExp(`default/${pod} `))
    }
    await run(`kubectl delete pod ${pods.slice(1).join(' ')} p5 --grace-period=1`)
    const keyOf = ({ protocol, egressIP, egressPort }: FlowRecord): string =>
      `${protocol} ${egressIP}:${egressPort}`
    const ofServer = async (): Promise<readonly FlowRecord[]> =>
      (await records()).filter(
        ({ destination, pod = '' }) => destination?.endsWith(`:${port}`) && /^p\d$/.test(pod),
      )
    let missing: readonly string[] = []
    await eventually(
      'all flows have a record',
      async () => {
        const found = new Set((await ofServer()).map(keyOf))
        missing = [...seen.keys()].filter((key) => !found.has(key))
        return missing.length === 0
      },
      240_000,
    ).catch((error) => assert.fail(`${error}; without one: ${missing.slice(0, 10).join(', ')}`))
    const logged = Map.groupBy(await ofServer(), keyOf)
    for (const [key, words] of seen)
      assert.deepEqual(
        [...new Set((logged.get(key) ?? []).map(({ pod }) => pod))].sort(),
        [...new Set(words)].sort(),
        key,
      )
    process.stdout.write(`${seen.size} ends are right in the log\n`)
    for (const { flow, pod } of sample) {
      const found = await run(
        `sallyport who ${flow?.egress} --at ${at} --to ${flow?.destination} -o json 2>/dev/null`,
      )
      /* TCP has the same ports, for other flows. */
      const ofUdp = (JSON.parse(found) as FlowRecord[]).filter(({ protocol }) => protocol === 'UDP')
      assert.deepEqual(
        ofUdp.map((each) => each.pod),
        [pod],
      )
    }
  })

  /** Whom the server saw at each end. */
  async function seenOutside(): Promise<ReadonlyMap<string, readonly string[]>> {
    const seen = new Map<string, string[]>()
    const lines = (await outside(`cat ${noted}`)).split('\n')
    for (const line of lines.filter((each) => each.includes(' '))) {
      const [protocol, end, word = ''] = line.split(' ')
      const key = `${protocol} ${end}`
      seen.set(key, [...(seen.get(key) ?? []), word])
    }
    return seen
  }
})

interface Element {
  readonly elem: {
    readonly val: string | { readonly concat: readonly (string | number)[] }
    readonly counter: { readonly packets: number; readonly bytes: number }
  }
}
