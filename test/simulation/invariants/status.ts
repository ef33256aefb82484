import type { Cluster } from '../cluster.ts'
import { policyOf, worldOf, worldPod } from '../cluster-view.ts'
import type { Machine } from '../machine.ts'
import type { Flow } from '../traffic.ts'
import { type Invariant, newsUs } from './invariant.ts'

/** A status may lag behind what happens by so long: reports, the operator's loop, and its writes. */
const lagUs = 10_000_000

/** Drops that are about something else than the policy: its status is not about them. */
const otherDrops = [
  'DROP_NO_FREE_PORT',
  'DROP_TABLE_FULL',
  'DROP_UNKNOWN_POD',
  'DROP_SPOOFED_SOURCE',
  'DROP_NO_MAPPING',
]

interface Failing {
  readonly flow: Flow
  readonly sinceUs: number
  /** A drop before the status could change shows nothing, and a pod that is off sends nothing that could show otherwise. */
  readonly lastUs: number
  readonly verdict: string
  readonly policy: string
  readonly machine: Machine
}

/** No status says Ready while what it describes is dropped. */
export function readyMeansForwarded(cluster: Cluster): Invariant {
  const failing = new Map<string, Failing>()
  const readySinceUs = new Map<string, number>()
  /** What one node alone suffers is not the policy's status: that is about what most nodes see. */
  const impairedAtUs = new Map<Machine, number>()
  const keyOf = (flow: Flow): string => `${flow.pod.uid} to ${flow.destination}`
  const noteReady = (): void => {
    const world = worldOf(cluster)
    for (const { kind, metadata, status } of [...world.ciliumPolicies, ...world.isovalentPolicies]) {
      const conditions = (status?.conditions ?? []) as readonly { type: string; status: string }[]
      const isReady = conditions.some((each) => each.type === 'Ready' && each.status === 'True')
      const name = `${kind} ${metadata.name}`
      if (!isReady) readySinceUs.delete(name)
      else if (!readySinceUs.has(name)) readySinceUs.set(name, cluster.clock.nowUs)
    }
  }
  return {
    name: 'no status says Ready while what it describes is dropped',
    onArrival(flow: Flow): undefined {
      failing.delete(keyOf(flow))
    },
    onEnd(flow: Flow, machine: Machine, program: string, verdict: string): void {
      const isOwn = program === 'from_pod' && machine === flow.pod.machine && !flow.isEstablished
      /* A policy selects the endpoint of a Service, and not its address. */
      if (
        flow.service !== undefined ||
        !isOwn ||
        !verdict.startsWith('DROP_') ||
        otherDrops.includes(verdict)
      )
        return
      const before = failing.get(keyOf(flow))
      const policy = policyOf(worldOf(cluster), worldPod(flow.pod, cluster), flow.destination) ?? ''
      const { nowUs } = cluster.clock
      const isSame = before?.policy === policy && before.verdict === verdict
      const sinceUs = isSame ? before.sinceUs : nowUs
      failing.set(keyOf(flow), { flow, sinceUs, lastUs: nowUs, verdict, policy, machine })
    },
    sample(): string | undefined {
      noteReady()
      const { nowUs } = cluster.clock
      for (const machine of cluster.machines)
        if (cluster.network.wires.isCutAt(machine.name)) impairedAtUs.set(machine, nowUs)
      for (const [key, { flow, sinceUs, lastUs, verdict, policy, machine }] of failing) {
        if (flow.pod.isGone) failing.delete(key)
        const since = Math.max(
          sinceUs,
          readySinceUs.get(policy) ?? nowUs,
          cluster.disturbedAtUs(),
          cluster.apiNetwork.troubledAtUs + newsUs - lagUs,
          impairedAtUs.get(machine) ?? 0,
        )
        if (lastUs - since >= lagUs)
          return `${policy} says Ready, and packets of ${flow.pod.name} to ${flow.destination} have been dropped for ${((lastUs - sinceUs) / 1e6).toFixed(1)} s: ${verdict}`
      }
      return undefined
    },
  }
}
