import type { Datapath } from '../../../datapath/datapath.ts'
import { openingFlow, openingPacket, resetPacket } from '../../../datapath/dry-run/opening-packet.ts'
import type { FlowKey, Mapping } from '../../../datapath/tables/flow-tables.ts'
import type { TracedFlow } from '../../../datapath/tables/observation-tables.ts'
import { parseAddress } from '../../../net/address.ts'
import { abortAfter, type Clock } from '../../../runtime/clock.ts'
import type { Random } from '../../../runtime/random.ts'
import type { Attachment } from '../../pods/attachments.ts'
import { findAskedPod, notReady } from '../explain/asked-pod.ts'
import { HttpError } from '../http-error.ts'
import { describePassage } from './describe-passage.ts'
import type {
  PassageLine,
  PassageQuery,
  PassageRow,
  TestPacketRequest,
  TestPacketResult,
} from './test-packet-row.ts'

interface TestPacketOptions {
  readonly self: string
  readonly datapath: Datapath
  readonly clock: Clock
  readonly random: Random
}

const protocolNumbers = { tcp: 6, udp: 17 } as const
/** No test packet is followed for longer, whatever the client does. */
const maxWaitMs = 30_000
/** The pod's own answer to the far end, and its way through this node, take less. */
const restMs = 200
const [firstPort, ports] = [32768, 28232]
const portTries = 16

/**
 * Sends test packets in by a pod's device, and follows those of all nodes through the programs of this one. One at a time. The flow of a test
 * packet is a flow of the pod like any other: the same programs decide about it, and it has a mapping that expires.
 */
export class TestPackets {
  readonly #options: TestPacketOptions
  #isBusy = false

  constructor(options: TestPacketOptions) {
    this.#options = options
  }

  /** For nodes that a test packet of another node may reach. Throws HttpError at once if the query cannot be read. */
  follow(query: PassageQuery, signal: AbortSignal): AsyncGenerator<PassageLine> {
    return this.#alone(readQuery(query), signal)
  }

  /** Sends the test packet, waits for an answer, and ends the connection. `attachments`: the pods of this node. */
  async send(attachments: readonly Attachment[], request: TestPacketRequest): Promise<TestPacketResult> {
    const { datapath, clock } = this.#options
    const { flow, macs, ifindex } = this.#prepare(attachments, request)
    const { sequence, protocol, waitMs } = request
    const traced = {
      protocol: flow.protocol,
      sequence,
      far: flow.destination,
      far_port: flow.destination_port,
    }
    const rows: PassageRow[] = []
    const done = new AbortController()
    let isEnding = false
    const end = async (): Promise<void> => {
      if (isEnding) return
      isEnding = true
      if (protocol === 'tcp' && isOpen(rows)) datapath.inject(resetPacket(flow, macs, sequence), ifindex)
      await clock.sleep(restMs)
      done.abort()
    }
    let isAnswered = false
    for await (const line of this.#alone(traced, done.signal)) {
      if (line.kind === 'ready') {
        datapath.inject(openingPacket(flow, macs, sequence), ifindex)
        clock.after(Math.min(waitMs, maxWaitMs), () => isAnswered || void end())
        continue
      }
      rows.push(line)
      const sent = sentFlow(rows, flow)
      if (isAnswered || !isAnswerTo(sent, datapath.tables.mappings.get(sent), line)) continue
      isAnswered = true
      clock.after(restMs, () => void end())
    }
    return this.#result(sentFlow(rows, flow), rows)
  }

  #result(sent: FlowKey, rows: readonly PassageRow[]): TestPacketResult {
    const mapping = this.#options.datapath.tables.mappings.get(sent)
    return {
      node: this.#options.self,
      ...{ source: sent.source, sourcePort: sent.source_port },
      ...{ destination: sent.destination, destinationPort: sent.destination_port },
      ...(mapping === undefined ? {} : { egressIp: mapping.egress_ip, egressPort: mapping.egress_port }),
      passages: rows.filter((row) => isFromPod(sent, row) || isAnswerTo(sent, mapping, row)),
    }
  }

  #alone(traced: TracedFlow, signal: AbortSignal): AsyncGenerator<PassageLine> {
    if (this.#isBusy)
      throw new HttpError(
        409,
        `node ${this.#options.self} follows another test packet: try again in some seconds`,
      )
    this.#isBusy = true
    return this.#follow(traced, signal)
  }

  async *#follow(traced: TracedFlow, signal: AbortSignal): AsyncGenerator<PassageLine> {
    const { datapath, self, clock } = this.#options
    const ended = new AbortController()
    using limit = abortAfter(clock, maxWaitMs + 3 * restMs)
    try {
      const passages = datapath.passages(traced, AbortSignal.any([signal, limit.signal, ended.signal]))
      const first = passages.next()
      yield { kind: 'ready', node: self }
      for (let next = await first; !next.done; next = await passages.next())
        yield describePassage(self, next.value)
    } finally {
      ended.abort()
      this.#isBusy = false
    }
  }

  /** The programs must see the packet. Without them, the node's network stack would send it with the pod's own address. */
  #prepare(attachments: readonly Attachment[], request: TestPacketRequest) {
    const { datapath, self, random } = this.#options
    const { protocol, port } = request
    if (!Object.hasOwn(protocolNumbers, protocol))
      throw new HttpError(400, `a test packet is over tcp or udp`)
    const { attachment, source, destination } = findAskedPod(attachments, self, request)
    const { wired } = attachment
    if (wired === undefined) throw notReady(request)
    const { ifindex, mac, hostMac } = wired
    const isGuarded = datapath
      .attachments()
      .some((each) => each.program === 'from_pod' && each.ifindex === ifindex && each.direction === 'ingress')
    if (!isGuarded)
      throw new HttpError(
        503,
        `the programs are not attached to device ${attachment.device} of the pod, so no test packet is sent: run "sallyport status" on node ${self}`,
      )
    for (let tries = 1; ; tries++) {
      const sourcePort = firstPort + Math.floor(random() * ports)
      const flow = openingFlow(source, destination, { protocol, port, sourcePort })
      if (datapath.tables.mappings.get(flow) === undefined || tries === portTries)
        return { flow, ifindex, macs: { to: hostMac, from: mac } }
    }
  }
}

/** As the program found it after its Service was translated, if the destination is one. */
function sentFlow(rows: readonly PassageRow[], flow: FlowKey): FlowKey {
  const first = rows.find((row) => isFromPod(flow, row))
  return first === undefined
    ? flow
    : { ...flow, destination: first.destination, destination_port: first.destinationPort }
}

function isFromPod({ source, source_port }: FlowKey, row: PassageRow): boolean {
  return row.source === source && row.sourcePort === source_port
}

/** The programs see an answer with the egress IP, or, after they have translated it, with the pod's address. */
function isAnswerTo(
  sent: FlowKey,
  mapping: Pick<Mapping, 'egress_ip' | 'egress_port'> | undefined,
  row: PassageRow,
): boolean {
  if (row.source !== sent.destination || row.sourcePort !== sent.destination_port) return false
  return (
    (row.destination === sent.source && row.destinationPort === sent.source_port) ||
    (row.destination === mapping?.egress_ip && row.destinationPort === mapping.egress_port)
  )
}

/** Whether the far end may have a connection: the SYN has left, and no reset has ended it. */
function isOpen(rows: readonly PassageRow[]): boolean {
  return (
    rows.some(({ packet, reason }) => packet === 'SYN' && reason === undefined) &&
    !rows.some(({ packet }) => packet === 'RST')
  )
}

function readQuery({ protocol = '', sequence, address = '', port }: PassageQuery): TracedFlow {
  const far = parseAddress(address)
  if (far === undefined) throw new HttpError(400, `${address} is not an IP address`)
  if (protocol !== 'tcp' && protocol !== 'udp') throw new HttpError(400, `a test packet is over tcp or udp`)
  return {
    protocol: protocolNumbers[protocol],
    sequence: Number(sequence) >>> 0,
    far,
    far_port: Number(port) & 0xffff,
  }
}
