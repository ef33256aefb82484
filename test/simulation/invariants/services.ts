import type { Cluster } from '../cluster.ts'
import type { Frame } from '../frames.ts'
import type { SimulatedPod } from '../pods.ts'
import type { Flow } from '../traffic.ts'
import { InformedAgents, lagUs } from './informed-agents.ts'
import { type Invariant, newsUs } from './invariant.ts'

/** A flow that was idle for so long may be a new one to the programs. */
const idleUs = 60_000_000
/** So old are the flows that are asked for at the end: their packets have arrived, and they were opened in peace. */
const settledUs = { from: 6_000_000, until: 1_000_000 } as const

/** An established flow through a Service keeps its endpoint while it lives, and the client sees only the Service. */
export function servedFlowsKeepTheirEndpoint(cluster: Cluster): Invariant {
  const lastUs = new Map<Flow, number>()
  const isAlive = (address: string): boolean =>
    cluster.pods.some((pod) => pod.address === address && !pod.isGone) || address.startsWith('203.')
  /** Datagrams go elsewhere when their endpoint is not listed any more. */
  const mayLeave = ({ protocol }: Flow, endpoint: string): boolean =>
    protocol === 'udp' &&
    cluster.services
      .listsSince(cluster.clock.nowUs - newsUs)
      .some((list) => !list.some((each) => each === endpoint))
  return {
    name: 'an established flow through a Service keeps its endpoint while it lives',
    onServed(flow: Flow, { destination, destinationPort }: Frame): string | undefined {
      if (flow.service === undefined) return undefined
      const before = flow.endpoint
      const idle = flow.sentAtUs - (lastUs.get(flow) ?? flow.sentAtUs)
      lastUs.set(flow, flow.sentAtUs)
      flow.endpoint = { address: destination, port: destinationPort }
      if (before === undefined || (before.address === destination && before.port === destinationPort))
        return undefined
      if (!flow.isEstablished || idle > idleUs || !isAlive(before.address)) return undefined
      if (flow.service.outside === undefined && mayLeave(flow, before.address)) return undefined
      return `${flow.name} had the endpoint ${before.address}:${before.port}, and its packet came to ${destination}:${destinationPort}`
    },
    onAnswer(flow: Flow, { source, sourcePort }: Frame): string | undefined {
      if (source === flow.destination && sourcePort === flow.destinationPort) return undefined
      return `${flow.name} has got an answer from ${source}:${sourcePort}`
    },
  }
}

/** A new flow reaches an endpoint that is ready, as far as its agent can know. In the end all new flows do. */
export function newFlowsReachReadyEndpoints(cluster: Cluster): Invariant {
  const informed = new InformedAgents(cluster)
  return {
    name: 'a new flow through a Service reaches an endpoint that is ready',
    sample(): undefined {
      informed.sample()
    },
    onServed(flow: Flow, { destination }: Frame, at: SimulatedPod | undefined): string | undefined {
      if (flow.service === undefined || at === undefined || flow.sent > 1) return undefined
      if (!informed.has(flow.pod.machine)) return undefined
      const lists = cluster.services.listsSince(cluster.clock.nowUs - lagUs)
      if (lists.some((list) => list.includes(destination))) return undefined
      return `new ${flow.name} came to ${destination}, which is not ready: ${cluster.services.ready.join(' ') || 'nothing'} is`
    },
    settled(): string | undefined {
      const { nowUs } = cluster.clock
      if (cluster.services.ready.length === 0) return undefined
      for (const flow of cluster.traffic.flows.values()) {
        const ageUs = nowUs - flow.openedAtUs
        if (flow.service === undefined || flow.service.outside !== undefined || !flow.pod.isRunning) continue
        if (ageUs > settledUs.from || ageUs < settledUs.until || flow.answered > 0) continue
        const how = flow.lastEnd === undefined ? '' : `; it ended at ${flow.lastEnd}`
        return `${flow.name} has no answer, although ${cluster.services.ready.join(' ')} are ready${how}`
      }
      return undefined
    },
  }
}
