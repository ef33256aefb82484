import { type EventText, policyEvents } from '../decide/events.ts'
import type { PolicyStatus } from '../decide/status.ts'
import type { WorldNode } from '../decide/world.ts'
import type { TrimmedNode } from '../kube/cluster-objects.ts'
import type { StatusChange } from './apply.ts'
import type { EventRecorder } from './events.ts'

/** Which events follow from what the operator has just written, and about which object. */
export class Teller {
  readonly #recorder: Pick<EventRecorder, 'record'>
  /** Nodes of which has been told that they have no slot: it is news once. */
  #withoutSlot: ReadonlySet<string> = new Set()

  constructor(recorder: Pick<EventRecorder, 'record'>) {
    this.#recorder = recorder
  }

  tellPolicies(
    changes: readonly StatusChange[],
    statuses: readonly PolicyStatus[],
    nodes: readonly WorldNode[],
  ): void {
    const names = new Map(nodes.map(({ name, internalIPs: [ip = ''] }) => [ip as string, name]))
    for (const { kind, object, before, after } of changes) {
      const { name, uid = '' } = object.metadata
      const exits = statuses.find(({ policy }) => policy.kind === kind.kind && policy.name === name)?.policy
        .exits
      const selected = nodes.filter(({ labels }) => exits?.some(({ selectsNode }) => selectsNode(labels)))
      const candidates = new Set(selected.flatMap(({ internalIPs: [ip] }) => ip ?? []))
      const subject = { apiVersion: `${kind.group}/${kind.version}`, kind: kind.kind, name, uid }
      for (const event of policyEvents(before, after, { names, candidates }))
        this.#recorder.record(subject, event)
    }
  }

  tellSlots(events: ReadonlyMap<string, EventText>, nodes: readonly TrimmedNode[]): void {
    for (const [node, event] of events) {
      const uid = nodes.find(({ name }) => name === node)?.uid ?? ''
      if (!this.#withoutSlot.has(node))
        this.#recorder.record({ apiVersion: 'v1', kind: 'Node', name: node, uid }, event)
    }
    this.#withoutSlot = new Set(events.keys())
  }
}
