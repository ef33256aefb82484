import { readBtf } from '../src/datapath/layout/btf.ts'
import { put } from '../src/datapath/maps/maps.ts'
import { loadObject } from '../src/datapath/object.ts'
import { testRun } from '../src/datapath/test-run.ts'
import { openNode, reset, standardTables } from '../test/packets/node-under-test.ts'
import { address, ipv4 } from '../test/packets/packet.ts'
import { fromOther, TestRuns } from './test-runs.ts'
import { median } from './tools.ts'

interface ProgramCost {
  readonly services: number
  /** Nanoseconds for a packet of an open connection to a pod of another node, and for the reply. */
  readonly toService: number
  readonly reply: number
  /** The same to the pod's own address. */
  readonly toPod: number
  /** The first packet of a connection through a Service. */
  readonly first: number
}

const tcp = 6
const data = { flags: ['ACK', 'PSH'] as const, payload: 'x'.repeat(64) }
const turns = 20
const clusterIp = (index: number): string => `10.${96 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`

/** What the programs take if the node knows so many Services of two endpoints each. The sizes take turns. */
export async function measureServicePrograms(sizes: readonly number[]): Promise<readonly ProgramCost[]> {
  const node = openNode({ replaces_kube_proxy: 1, simulated_tunnel: 0 })
  await reset(node)
  const runs = new TestRuns(node, { loadObject, readBtf, put, testRun })
  const { pod7, world } = node.devices
  const taken = new Map(sizes.map((size) => [size, [] as Omit<ProgramCost, 'services'>[]]))
  let source = 10_000
  for (let turn = 0; turn < turns; turn++)
    for (const size of turn % 2 === 0 ? sizes : sizes.toReversed()) {
      const services = Array.from({ length: size }, (_, index) => ({
        address: address(clusterIp(index + 1)),
        port: 80,
        protocol: tcp,
        affinityMs: 0,
        endpoints: ['10.244.2.9', '10.244.2.10'].map((each) => ({ address: address(each), port: 8080 })),
        leaving: [],
      }))
      await node.datapath.apply({ ...standardTables(node), services })
      const call = ipv4('10.244.1.7', clusterIp(size)).tcp(40000, 80, data)
      const toService = runs.repeated('from_pod', call, { ifindex: pod7 })
      const [known] = [...node.datapath.tables.service_flows.entries()].filter(([{ source_port }]) => source_port === 40000)
      const answer = ipv4(known?.[1].address ?? '', '10.244.1.7').tcp(8080, 40000, data)
      const firsts = Array.from({ length: 200 }, () => ipv4('10.244.1.7', clusterIp(size)).tcp(source++, 80, { flags: ['SYN'] }))
      taken.get(size)?.push({
        toService,
        reply: runs.repeated('from_overlay', answer, { ifindex: world, tunnel: fromOther(1) }),
        toPod: runs.repeated('from_pod', ipv4('10.244.1.7', '10.244.2.9').tcp(41000, 8080, data), { ifindex: pod7 }),
        first: runs.firsts(pod7, [firsts])[0] ?? 0,
      })
    } // biome-ignore format: packets
  return [...taken].map(([services, each]) => {
    const of = (field: keyof Omit<ProgramCost, 'services'>): number =>
      Math.round(median(each.map((cost) => cost[field])))
    return {
      services,
      toService: of('toService'),
      reply: of('reply'),
      toPod: of('toPod'),
      first: of('first'),
    }
  })
}
