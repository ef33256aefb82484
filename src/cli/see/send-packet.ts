import { randomBytes } from 'node:crypto'
import type { Explanation } from '../../agent/api/explain/explanation.ts'
import type {
  PassageLine,
  PassageRow,
  TestPacketRequest,
  TestPacketResult,
} from '../../agent/api/test-packet/test-packet-row.ts'
import { type Clock, systemClock } from '../../runtime/clock.ts'
import { UserError } from '../user-error.ts'
import { agentOf, type ReachedAgent } from './agents.ts'

/** A real packet, and what became of it. */
export interface SentPacket extends Omit<TestPacketResult, 'passages'> {
  /** In the order in which the packets met the programs, as far as it is known: clocks of nodes differ. */
  readonly passages: readonly PassageRow[]
  /** What came back to the pod first. Undefined: nothing within the time. */
  readonly answer?: PassageRow
  /** From the packet's first program to the answer's last one on the pod's node. */
  readonly answeredAfterMs?: number
  readonly waitedMs: number
  /** Nodes whose programs were followed. */
  readonly followed: readonly string[]
  /** Nodes that the packet may have reached, and that could not be asked: why not. */
  readonly notFollowed: Readonly<Record<string, string>>
  /** Whether the running program did one of the things that were decided. */
  readonly agrees: boolean
}

/** A node that is followed must answer in this time, or the test packet is sent without it. */
const readyWithinMs = 4000
/** Answers cross the network of the API server. */
const collectMs = 300

/** Sends a test packet from the pod's node. The gateways that it may pass are asked to follow it first. */
export async function sendPacket(
  agents: readonly ReachedAgent[],
  said: Explanation,
  waitMs: number,
  clock: Clock = systemClock,
): Promise<SentPacket> {
  const { pod, flow, service } = said
  if (service !== undefined && flow.protocol === 'udp')
    throw new UserError(
      'a datagram to a Service cannot be followed, because its endpoint is not known before: give the address of an endpoint',
      2,
    )
  const sequence = randomBytes(4).readUInt32BE()
  const request = {
    ...{ namespace: pod.namespace, pod: pod.name, to: flow.destination, port: flow.port },
    ...{ protocol: flow.protocol as TestPacketRequest['protocol'], sequence, waitMs },
  }
  const { address = flow.destination, port = flow.port } = service?.endpoint ?? {}
  const query = new URLSearchParams({
    protocol: flow.protocol,
    sequence: `${sequence}`,
    address,
    port: `${port}`,
  })
  const over = new AbortController()
  const rows: PassageRow[] = []
  const notFollowed: Record<string, string> = {}
  const follow = (node: string) =>
    followOn(agents, node, `/v1/passages?${query}`, {
      clock,
      signal: over.signal,
      onRow: (row) => rows.push(row),
    }).catch((error: unknown) => {
      notFollowed[node] = error instanceof Error ? error.message : String(error)
    })
  const others = gatewaysOf(said).filter((node) => node !== pod.node)
  try {
    await Promise.all(others.map(follow))
    const sent = await agentOf(agents, pod.node).ask<TestPacketResult>('/v1/test-packet', request)
    await clock.sleep(collectMs)
    const followed = [pod.node, ...others.filter((node) => notFollowed[node] === undefined)]
    return { ...judge(said, sent, rows), waitedMs: waitMs, followed, notFollowed }
  } finally {
    over.abort()
  }
}

function gatewaysOf({ gateways, egressIps }: Explanation): readonly string[] {
  const nodes = [...gateways.map(({ node }) => node), ...egressIps.flatMap(({ order }) => order)]
  return [...new Set(nodes)]
}

/** Resolves when the node follows. Then it reports until the signal. */
async function followOn(
  agents: readonly ReachedAgent[],
  node: string,
  path: string,
  {
    clock,
    signal,
    onRow,
  }: { readonly clock: Clock; readonly signal: AbortSignal; readonly onRow: (row: PassageRow) => void },
): Promise<void> {
  const lines = agentOf(agents, node).follow<PassageLine>(path, false, signal)
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const stop = clock.after(readyWithinMs, () =>
    reject(new Error(`no answer within ${readyWithinMs / 1000} s`)),
  )
  const read = async (): Promise<void> => {
    for await (const line of lines)
      if (line.kind === 'ready') resolve()
      else onRow(line)
    reject(new Error('it stopped at once'))
  }
  read().catch(reject)
  await promise.finally(stop)
}

type Judged = Pick<SentPacket, 'passages' | 'answer' | 'answeredAfterMs' | 'agrees'> & TestPacketResult

function judge({ decision }: Explanation, sent: TestPacketResult, ofOthers: readonly PassageRow[]): Judged {
  const isBack = (row: PassageRow): boolean => isTowardsPod(sent, row)
  const isOfFlow = (row: PassageRow): boolean => {
    const [address, port] = isBack(row)
      ? [row.destination, row.destinationPort]
      : [row.source, row.sourcePort]
    return address === sent.egressIp && port === sent.egressPort
  }
  const stepOf = (row: PassageRow): number => {
    const isHere = row.node === sent.node
    if (isBack(row)) return isHere ? 3 : 2
    return (row.packet === 'RST' ? 4 : 0) + (isHere ? 0 : 1)
  }
  const all = [...sent.passages, ...ofOthers.filter(isOfFlow)]
  const passages = all.toSorted((a, b) => stepOf(a) - stepOf(b) || (a.node === b.node ? a.atNs - b.atNs : 0))
  const first = sent.passages.find((row) => !isBack(row))
  const answer = sent.passages.find((row) => isBack(row) && row.reason === undefined)
  const answeredAfterMs =
    answer === undefined || first === undefined ? undefined : (answer.atNs - first.atNs) / 1e6
  return {
    ...sent,
    passages,
    ...(answer === undefined ? {} : { answer }),
    ...(answeredAfterMs === undefined ? {} : { answeredAfterMs }),
    agrees:
      first !== undefined && (decision.isOpen !== undefined || decision.verdicts.includes(first.verdict)),
  }
}

/** The direction of a row, for a person. */
export const isTowardsPod = (
  { destination, destinationPort }: Pick<TestPacketResult, 'destination' | 'destinationPort'>,
  row: PassageRow,
): boolean => row.source === destination && row.sourcePort === destinationPort
