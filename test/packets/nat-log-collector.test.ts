import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { FlowRecord } from '../../src/agent/api/nat-log/nat-log-row.ts'
import { NatLog } from '../../src/agent/nat-log/nat-log.ts'
import { Sweep } from '../../src/agent/ports/sweep.ts'
import { systemClock } from '../../src/runtime/clock.ts'
import { createLog } from '../../src/runtime/log.ts'
import { age, established, type Flow, flowKey, secondNs } from './flows.ts'
import { type NodeUnderTest, openNode, ourPorts, reset, skip } from './node-under-test.ts'
import { address } from './packet.ts'

const udp = { protocol: 17 }
const collectorPort = 4739
const hasCollector = existsSync('/usr/bin/nfcapd') && existsSync('/usr/bin/nfdump')

describe('the NAT log by IPFIX', { skip }, () => {
  let node: NodeUnderTest
  const scratch = mkdtempSync(join(tmpdir(), 'sallyport-ipfix-'))
  before(async () => {
    node = openNode({ flow_log: 1 })
    execFileSync('ip', ['link', 'set', 'lo', 'up'])
    await reset(node)
  })
  after(() => rmSync(scratch, { recursive: true, force: true }))

  const openLog = (): NatLog => {
    const log = new NatLog({
      ...{ self: 'worker', datapath: node.datapath, clock: systemClock, log: createLog('test', 'silent') },
      ...{ stateDirectory: scratch, logDirectory: scratch },
      settings: {
        ...{ policies: 'all', destinations: true, sampling: 1, maxRecordsPerSecond: 1000 },
        ...{ fileMegabytes: 1, files: 1, collector: { address: address('127.0.0.1'), port: collectorPort } },
      },
    })
    log.names.observe([], new Map([[7n, { kind: 'CiliumEgressGatewayPolicy', name: 'outpost' }]]), 0)
    return log
  }
  const flows = (): FlowRecord[] =>
    readFileSync(join(scratch, 'nat.log'), 'utf8')
      .split('\n')
      .flatMap((line) => (line === '' ? [] : [JSON.parse(line) as FlowRecord]))
  const end = (...ended: readonly Flow[]): void => {
    for (const flow of ended) {
      established({ ...udp, ...flow })(node)
      age(node, flowKey({ ...udp, ...flow }), 360n * secondNs)
    }
    new Sweep().run(node.datapath)
  }

  test('reaches a real collector, whose records equal what was sent', {
    skip: hasCollector ? false : 'nfcapd is not installed: apt-get install nfdump',
  }, async () => {
    const folder = mkdtempSync(join(scratch, 'nfcapd-'))
    const nfcapd = spawn(
      'nfcapd',
      ['-w', folder, '-p', String(collectorPort), '-b', '127.0.0.1', '-t', '3600'],
      { stdio: 'pipe' },
    )
    try {
      await untilListening(nfcapd, collectorPort)
      const log = openLog()
      const ended = Array.from(
        { length: 300 },
        (_, index): Flow => ({
          sourcePort: 1000 + index,
          destinationPort: 2000 + index,
          egressPort: ourPorts.first + (index % 16),
          mapping: {
            packets_out: BigInt(index + 1),
            bytes_out: BigInt(100 * index + 60),
            packets_in: BigInt(index),
            bytes_in: BigInt(90 * index),
          },
        }),
      )
      await systemClock.sleep(100)
      end(...ended)
      end({ pod: 'fd00:1::7', egressIp: '2001:db8::42', destination: '2001:db8:ffff::9' })
      log.drain()
      log[Symbol.dispose]()
      await systemClock.sleep(500)
      nfcapd.kill('SIGTERM')
      await new Promise((resolve) => nfcapd.once('exit', resolve))
      const format = 'fmt:%pr|%sa|%sp|%nsa|%nsp|%da|%dp|%ts|%te|%ipkt|%ibyt|%opkt|%obyt'
      const told = read(folder, format)
      const shown = told
        .trim()
        .split('\n')
        .map((line) => line.split('|').map((field) => field.trim()))
      const written = flows().map((each) => {
        const [sa = '', da = ''] = [each.source, each.destination ?? '']
        const split = (text: string) => [
          text.replace(/:\d+$/, '').replaceAll(/[[\]]/g, ''),
          text.split(':').at(-1),
        ]
        const at = (time: string): string => time.replace('T', ' ').replace('Z', '')
        return [
          ...[
            each.protocol,
            ...split(sa),
            storedAddress(each.egressIP),
            String(each.egressPort),
            ...split(da),
          ],
          ...[at(each.begin), at(each.lastPacket)],
          ...[each.packetsOut, each.bytesOut, each.packetsIn, each.bytesIn].map(String),
        ]
      })
      assert.equal(written.length, ended.length + 1)
      assert.equal(shown.map(String).sort().join('\n'), written.map(String).sort().join('\n'))
      const events = read(folder, 'raw').match(/nat event += +\d+/g) ?? []
      assert.equal(events.filter((each) => / 5$/.test(each)).length, ended.length, 'NAT44 session delete')
    } finally {
      nfcapd.kill('SIGKILL')
    }
  })
})

/** nfdump 1.7.1 does not store IPv6 addresses after a translation. The test of the encoder compares the bytes. */
const storedAddress = (egressIp: string): string => (egressIp.includes(':') ? '0.0.0.0' : egressIp)

/** What the collector has stored. */
const read = (folder: string, format: string): string =>
  execFileSync('nfdump', ['-q', '-6', '-R', folder, '-o', format], {
    encoding: 'utf8',
    env: { ...process.env, TZ: 'UTC' },
    maxBuffer: 1 << 24,
  })

async function untilListening(process: ChildProcess, port: number): Promise<void> {
  const hex = port.toString(16).toUpperCase().padStart(4, '0')
  for (let tries = 0; tries < 100; tries++) {
    if (readFileSync('/proc/thread-self/net/udp', 'utf8').includes(`:${hex} `)) return
    if (process.exitCode !== null) throw new Error(`nfcapd ended with ${process.exitCode}`)
    await systemClock.sleep(50)
  }
  throw new Error('nfcapd does not listen')
}
