import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import type {
  FlowRecord,
  LossRecord,
  NatLogAnswer,
  NatLogLine,
} from '../../src/agent/api/nat-log/nat-log-row.ts'
import { readNatLog } from '../../src/agent/api/nat-log/read-nat-log.ts'
import { NatLog } from '../../src/agent/nat-log/nat-log.ts'
import { NatLogging } from '../../src/agent/nat-log/nat-logging.ts'
import { Sweep } from '../../src/agent/ports/sweep.ts'
import type { Datapath } from '../../src/datapath/datapath.ts'
import type { FlowEnd } from '../../src/datapath/tables/observation-tables.ts'
import type { NatLogSettings } from '../../src/install/configuration.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { createLog } from '../../src/runtime/log.ts'
import { age, established, type Flow, flowKey, secondNs } from './flows.ts'
import { type NodeUnderTest, openNode, ourPorts, reset, skip } from './node-under-test.ts'
import { address } from './packet.ts'

const udp = { protocol: 17 }
const settings: NatLogSettings = {
  policies: 'all', destinations: false, sampling: 1, maxRecordsPerSecond: 1000, fileMegabytes: 1, files: 3, collector: undefined,
} // biome-ignore format: short

describe('the NAT log', { skip }, () => {
  let node: NodeUnderTest
  let scratch = ''
  before(() => {
    node = openNode({ flow_log: 1 })
  })
  beforeEach(async () => {
    await reset(node)
    using reader = node.datapath.flowEnds(() => {})
    while (reader.consume(1000) > 0);
    const { lost_flow_ends: lost } = node.datapath.tables
    lost.set(1, lost.get(0) ?? 0n)
    scratch = mkdtempSync(join(tmpdir(), 'sallyport-nat-log-'))
  })
  after(() => rmSync(scratch, { recursive: true, force: true }))

  const pod = (name: string, ip: string, sinceNs = 1n) => ({
    ...{ containerId: name, interfaceName: 'eth0', device: name, sinceNs, addresses: [address(ip)] },
    pod: { namespace: 'shop', name, uid: name },
  })
  const policies = new Map([[7n, { kind: 'CiliumEgressGatewayPolicy', name: 'outpost' }]])
  const present = [pod('web', '10.244.1.7'), pod('job', '10.244.1.8')]

  function openLog(more: Partial<NatLogSettings> = {}, datapath = node.datapath): NatLog {
    const log = new NatLog({
      ...{ self: 'worker', datapath, settings: { ...settings, ...more } },
      ...{ clock: systemClock, log: createLog('test', 'silent') },
      ...{ stateDirectory: scratch, logDirectory: join(scratch, 'log') },
    })
    log.names.observe(present, policies, Date.now())
    return log
  }
  const lines = (): NatLogLine[] => {
    const path = join(scratch, 'log', 'nat.log')
    const text = existsSync(path) ? readFileSync(path, 'utf8') : ''
    return text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as NatLogLine]))
  }
  const flows = (): FlowRecord[] => lines().filter((line) => line.kind === 'flow')
  const end = (...ended: readonly Flow[]): void => {
    for (const flow of ended) {
      established({ ...udp, ...flow })(node)
      age(node, flowKey({ ...udp, ...flow }), 360n * secondNs)
    }
    new Sweep().run(node.datapath)
  }
  const ask = async (at: string, more: object = {}): Promise<NatLogAnswer[]> => {
    const log = openLog()
    const parts = {
      node: 'worker',
      datapath: node.datapath,
      settings,
      log,
      logDirectory: join(scratch, 'log'),
    }
    const moment = { nowNs: process.hrtime.bigint(), nowMs: Date.now() }
    const query = { address: '172.18.0.42', port: String(ourPorts.first), at, ...more }
    const answers: NatLogAnswer[] = []
    for await (const each of readNatLog({ ...parts, ...moment, tables: { policies } }, query))
      answers.push(each)
    log[Symbol.dispose]()
    return answers
  }

  test('has a record of an ended flow: pod, policy, egress IP, port, times and counts, and no destination', () => {
    const log = openLog()
    const counts = { packets_out: 5n, bytes_out: 500n, packets_in: 4n, bytes_in: 400n }
    end({ mapping: counts })
    log.drain()
    const [record, ...others] = flows()
    assert.equal(others.length, 0)
    assert.ok(record?.end)
    const { begin, end: ended, id: _, lastPacket, ...rest } = record
    assert.deepEqual(rest, {
      ...{ kind: 'flow', node: 'worker', namespace: 'shop', pod: 'web', policy: 'outpost', protocol: 'UDP' },
      ...{ source: '10.244.1.7:40000', egressIP: '172.18.0.42', egressPort: ourPorts.first },
      ...{ packetsOut: 5, packetsIn: 4, bytesOut: 500, bytesIn: 400 },
    })
    assert.ok(Math.abs(Date.parse(begin) - (Date.now() - 361_000)) < 2_000, begin)
    assert.equal(lastPacket, begin)
    assert.ok(Math.abs(Date.parse(ended) - Date.now()) < 2_000, ended)
    log[Symbol.dispose]()
  })

  test('has destinations and policies as settings and annotations ask', () => {
    const cases = [
      [{}, undefined, 'without'],
      [{}, 'destinations', 'with'],
      [{}, 'off', 'none'],
      [{ destinations: true }, 'on', 'with'],
      [{ policies: 'annotated' }, undefined, 'none'],
      [{ policies: 'annotated' }, 'on', 'without'],
    ] as const
    for (const [more, natLog, expected] of cases) {
      rmSync(join(scratch, 'log'), { recursive: true, force: true })
      const log = openLog(more)
      log.names.observe(
        present,
        new Map([[7n, { kind: 'k', name: 'outpost', ...(natLog && { natLog }) }]]),
        Date.now(),
      )
      end({})
      log.drain()
      const [record] = flows()
      const found = record === undefined ? 'none' : record.destination === undefined ? 'without' : 'with'
      assert.equal(found, expected, `${JSON.stringify(more)} ${natLog}`)
      if (found === 'with') assert.equal(record?.destination, '203.0.113.9:443')
      log[Symbol.dispose]()
    }
  })

  test('names a pod and a policy that are gone, also after a restart of the agent', () => {
    const first = openLog()
    first[Symbol.dispose]()
    const log = openLog()
    const later = pod('new', '10.244.1.7', process.hrtime.bigint())
    log.names.observe([later], new Map(), Date.now())
    log[Symbol.dispose]()
    const again = openLog()
    again.names.observe([later], new Map(), Date.now())
    end({})
    again.drain()
    assert.deepEqual(
      flows().map((each) => [each.pod, each.policy]),
      [['web', 'outpost']],
    )
    again[Symbol.dispose]()
  })

  test('has a flow once, although an agent was killed after it wrote the record and before the ring knew that', () => {
    const ends: FlowEnd[] = []
    end({ sourcePort: 1 }, { sourcePort: 2, egressPort: ourPorts.first + 1 })
    using reader = node.datapath.flowEnds((each) => ends.push(each))
    reader.consume(1000)
    for (const given of [ends.slice(0, 1), ends]) {
      const log = openLog({}, ringWith(given))
      log.drain()
      log[Symbol.dispose]()
    }
    assert.equal(ends.length, 2)
    assert.deepEqual(
      flows().map(({ source }) => source),
      ends.map(({ flow }) => `${flow.source}:${flow.source_port}`),
    )
  })

  const ringWith = (ends: readonly FlowEnd[]): Datapath => {
    const waiting = [...ends]
    const flowEnds = (handle: (end: FlowEnd) => void) => ({
      consume: (max: number) => waiting.splice(0, max).map(handle).length,
      onReadable: () => {},
      [Symbol.dispose]: () => {},
    })
    return { tables: node.datapath.tables, flowEnds } as unknown as Datapath
  }

  test('keeps records for an agent that starts later', () => {
    end({ sourcePort: 1 }, { sourcePort: 2, egressPort: ourPorts.first + 1 })
    const log = openLog()
    log.drain()
    log[Symbol.dispose]()
    const again = openLog()
    again.drain()
    again[Symbol.dispose]()
    assert.deepEqual(
      flows()
        .map(({ source }) => source)
        .sort(),
      ['10.244.1.7:1', '10.244.1.7:2'],
    )
  })

  test('is opened by the agent, written as flows end, and closed with it', async () => {
    const logging = new NatLogging({
      ...{ self: 'worker', datapath: node.datapath, configuration: { natLog: settings } },
      ...{ clock: systemClock, log: createLog('test', 'silent') },
      ...{ stateDirectory: scratch, logDirectory: join(scratch, 'log') },
    })
    const stop = new AbortController()
    end({ sourcePort: 1 })
    const running = logging.run(stop.signal)
    await systemClock.sleep(200)
    assert.deepEqual(flows(), [], 'the agent does not know its pods yet')
    logging.observe(present, policies)
    end({ sourcePort: 2 })
    for (let tries = 0; tries < 50 && flows().length < 2; tries++) await systemClock.sleep(20)
    assert.deepEqual(
      flows().map(({ source, pod }) => [source, pod]),
      [
        ['10.244.1.7:1', 'web'],
        ['10.244.1.7:2', 'web'],
      ],
    )
    assert.equal(logging.counts?.records, 2)
    stop.abort()
    await running
    assert.equal(logging.counts, undefined)
    end({ sourcePort: 3 })
    logging.drain()
    assert.equal(flows().length, 2)
  })

  test('that cannot be opened is a problem of the node, and the agent continues', async () => {
    const logging = new NatLogging({
      ...{ self: 'worker', datapath: node.datapath, configuration: { natLog: settings } },
      ...{ clock: systemClock, log: createLog('test', 'silent') },
      ...{ stateDirectory: scratch, logDirectory: '/dev/null/nat-log' },
    })
    logging.observe(present, policies)
    await logging.run(new AbortController().signal)
    assert.match(logging.problems.join(), /The NAT log cannot be written: .*\/dev\/null\/nat-log/)
  })

  test('says how many records it lost, and why', () => {
    const log = openLog({ maxRecordsPerSecond: 1 })
    const { mappings } = node.datapath.tables
    established(udp)(node)
    const [[key, value] = assert.fail()] = [...mappings.entries()]
    for (let port = 1; port <= 100; port++)
      mappings.set(
        { ...key, source_port: port },
        { ...value, created_ns: BigInt(port), last_outward_ns: 1n, last_inward_ns: 0n },
      )
    new Sweep().run(node.datapath)
    log.drain()
    log[Symbol.dispose]()
    assert.equal(flows().length, 60)
    const lost = lines().filter((line): line is LossRecord => line.kind === 'loss')
    assert.deepEqual(
      lost.map(({ reason, records }) => [reason, records]),
      [['limit', 40]],
    )
    assert.deepEqual(log.counts, { records: 60, lost: { buffer: 0, limit: 40, file: 0, collector: 0 } })
  })

  test('answers who had a port at a time: an ended flow, an open flow, or no flow', async () => {
    const log = openLog()
    end({})
    log.drain()
    log[Symbol.dispose]()
    established({ ...udp, sourcePort: 5 })(node)
    const at = (agoS: number): string => new Date(Date.now() - agoS * 1000).toISOString()
    const sources = async (agoS: number, more: object = {}) =>
      (await ask(at(agoS), more)).flatMap((line) => (line.kind === 'flow' ? [line.source] : []))
    assert.deepEqual(await sources(300), ['10.244.1.7:40000'])
    assert.deepEqual(await sources(0), ['10.244.1.7:5'])
    assert.deepEqual(await sources(600), [])
    assert.deepEqual(await sources(300, { port: String(ourPorts.last) }), [])
    const [cover] = await ask(at(0))
    assert.ok(cover?.kind === 'cover' && cover.isOn && cover.since !== undefined)
    await assert.rejects(ask('yesterday'), /yesterday is not a time/)
  })
})
