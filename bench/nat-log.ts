import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NatLog } from '../src/agent/nat-log/nat-log.ts'
import { Sweep } from '../src/agent/ports/sweep.ts'
import { systemClock } from '../src/runtime/clock.ts'
import { createLog } from '../src/runtime/log.ts'
import { established } from '../test/packets/flows.ts'
import { type NodeUnderTest, openNode, reset } from '../test/packets/node-under-test.ts'
import { address } from '../test/packets/packet.ts'

/* What a sweep costs that ends 10,000 flows, by NAT log. Run it as root. */

const flows = 10_000
const rounds = 7
const collector = { address: address('127.0.0.1'), port: 4739 }

function openLog({ datapath }: NodeUnderTest, folder: string, hasCollector: boolean): NatLog {
  const log = new NatLog({
    ...{ self: 'worker', datapath, clock: systemClock, log: createLog('bench', 'silent') },
    ...{ stateDirectory: folder, logDirectory: folder },
    settings: {
      ...{ policies: 'all', destinations: true, sampling: 1, maxRecordsPerSecond: 100_000 },
      ...{ fileMegabytes: 64, files: 3, collector: hasCollector ? collector : undefined },
    },
  })
  const pod = { namespace: 'shop', name: 'web', uid: 'web' }
  const web = { containerId: 'web', interfaceName: 'eth0', device: 'web', sinceNs: 1n, pod }
  const policies = new Map([[7n, { kind: 'CiliumEgressGatewayPolicy', name: 'outpost' }]])
  log.names.observe([{ ...web, addresses: [address('10.244.1.7')] }], policies, Date.now())
  return log
}

function sweepOnce({ datapath }: NodeUnderTest, log: NatLog | undefined): number {
  const { mappings } = datapath.tables
  const [[key, value] = []] = [...mappings.entries()]
  if (key === undefined || value === undefined) throw new Error('there is no flow to copy')
  for (let port = 1; port <= flows; port++)
    mappings.set({ ...key, source_port: port }, { ...value, last_outward_ns: 1n, last_inward_ns: 0n })
  const before = process.cpuUsage()
  new Sweep().run(datapath, () => log?.drain())
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

for (const kind of ['off', 'file', 'file and collector']) {
  const node = openNode({ flow_log: Number(kind !== 'off') })
  await reset(node)
  const folder = mkdtempSync(join(tmpdir(), 'nat-log-'))
  const log = kind === 'off' ? undefined : openLog(node, folder, kind !== 'file')
  await systemClock.sleep(100)
  const took: string[] = []
  for (let round = 0; round < rounds; round++) {
    established({ protocol: 17, sourcePort: flows + 1 })(node)
    took.push(sweepOnce(node, log).toFixed(0))
  }
  console.log(`${kind}: ${took.join(', ')} ms of processor time`)
  log?.[Symbol.dispose]()
  rmSync(folder, { recursive: true })
}
