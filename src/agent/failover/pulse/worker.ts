import { flushCompileCache } from 'node:module'
import { parentPort, workerData } from 'node:worker_threads'
import { readBtf } from '../../../datapath/layout/btf.ts'
import { Table } from '../../../datapath/maps/table.ts'
import { tableCodecs } from '../../../datapath/tables/table-codecs.ts'
import { LinkQuestions } from '../../../linux/arp.ts'
import { Datagrams } from '../../../linux/datagrams.ts'
import { Frames } from '../../../linux/frames.ts'
import { probeFrame } from './frame.ts'
import { LinkProbeFrames } from './link-probe.ts'
import type { ToProber } from './messages.ts'
import { Prober } from './prober.ts'
import type { ProberThreadData } from './prober-thread.ts'
import { timing } from './timing.ts'

/*
 * The prober runs in a thread of its own, so that an agent that is busy for a while does not look dead. If the agent makes
 * no progress for seconds, the prober counts it as dead too.
 */

const { objectFile, maps, flags, tunnelPort } = workerData as ProberThreadData
const port = parentPort ?? fail('this file runs only as a worker thread of the agent')
const btf = readBtf(objectFile)
const codecs = tableCodecs(btf)
const frame = probeFrame(btf.enumeration('tunnel').get('TUNNEL_PROBE') ?? 0)
const datagrams = new Datagrams(tunnelPort)
const frames = new Frames()
const linkProbes = new LinkProbeFrames()
const ports = {
  destination: btf.constant('LINK_PROBE_PORT'),
  unanswered: btf.constant('LINK_PROBE_UNANSWERED'),
  answered: btf.constant('LINK_PROBE_ANSWERED'),
}

function fail(message: string): never {
  throw new Error(message)
}

const prober = new Prober({
  tables: {
    liveness: new Table(maps.liveness, codecs.liveness.key, codecs.liveness.value),
    links: new Table(maps.links, codecs.links.key, codecs.links.value),
    probed_gateways: new Table(
      maps.probed_gateways,
      codecs.probed_gateways.key,
      codecs.probed_gateways.value,
    ),
  },
  flags: new Int32Array(flags),
  transport: {
    send: (node) => datagrams.send(frame, node),
    sendByLink: ({ ifindex, isAnswered, ...link }) => {
      const sourcePort = isAnswered ? ports.answered : ports.unanswered
      const probe = linkProbes.frame({ ...link, sourcePort, destinationPort: ports.destination })
      frames.send(probe, ifindex)
    },
    keepOnly: (nodes) => datagrams.keepOnly(nodes),
    openLink: (end) => new LinkQuestions(end),
  },
  report: (report) => {
    port.postMessage(report)
    if (report.kind === 'left') port.close()
  },
  nowNs: () => process.hrtime.bigint(),
})

const timer = setInterval(() => prober.tick(), timing.tickMs)
flushCompileCache()

port.on('message', (message: ToProber) => {
  if (message.kind === 'leave') clearInterval(timer)
  prober.take(message)
})
