import { type EventText, policyEvents } from '../decide/status/events.ts'
import type { PolicyStatus } from '../decide/status/status.ts'
import type { WorldNode } from '../decide/world.ts'
import type { TrimmedNode } from '../kube/cluster-objects.ts'
import type { StatusChange } from './apply.ts'
import type { EventRecorder, Subject } from './events.ts'

/**
 * How long a warning is delayed if it may be over soon. When an egress IP moves from one node to another, no node seems to have
 * it until both agents have reported it:
 *
 *   an agent reports its interfaces         1 s
 *   the policy's status follows             1 s
 *   a busy API server, or a slow link       3 s
 */
export const settleMs = 5_000
const passing = new Set(['EgressIPNotOnNode'])

interface HeldWarning {
  readonly subject: Subject
  readonly event: EventText
  readonly sinceMs: number
  /** The policy was ready before. If it is ready again within the delay, there is no Event at all. */
  readonly wasReady: boolean
}

/** Records the Events that follow from what the operator has just written. */
export class EventWriter {
  readonly #recorder: Pick<EventRecorder, 'record'>
  /** Delayed warnings, by policy. */
  readonly #held = new Map<string, HeldWarning>()
  /** Nodes that already have an Event because they have no slot. */
  #withoutSlot: ReadonlySet<string> = new Set()

  constructor(recorder: Pick<EventRecorder, 'record'>) {
    this.#recorder = recorder
  }

  notePolicies(
    changes: readonly StatusChange[],
    statuses: readonly PolicyStatus[],
    nodes: readonly WorldNode[],
    nowMs: number,
  ): void {
    const names = new Map(nodes.map(({ name, internalIPs: [ip = ''] }) => [ip as string, name]))
    for (const { kind, object, before, after } of changes) {
      const { name, uid = '' } = object.metadata
      const status = statuses.find(({ policy }) => policy.kind === kind.kind && policy.name === name)
      const exits = status?.policy.exits ?? []
      const selected = nodes.filter(
        (node) =>
          status?.unhealthy.has(node.name) && exits.some(({ selectsNode }) => selectsNode(node.labels)),
      )
      const candidates = new Set(selected.flatMap(({ internalIPs: [ip] }) => ip ?? []))
      const subject = { apiVersion: `${kind.group}/${kind.version}`, kind: kind.kind, name, uid }
      const wasReady = (before.conditions ?? []).some(
        ({ type, status: given }) => type === 'Ready' && given === 'True',
      )
      const whyNot = (gateway: string): string | undefined => explainLoss(gateway, nodes, status)
      for (const event of policyEvents(before, after, { names, candidates, whyNot }))
        this.#note(subject, event, { nowMs, wasReady })
    }
    for (const [key, { subject, event, sinceMs }] of this.#held)
      if (nowMs - sinceMs >= settleMs) {
        this.#held.delete(key)
        this.#recorder.record(subject, event)
      }
  }

  /** How long until the next delayed warning is due. Undefined if there is none. */
  dueInMs(nowMs: number): number | undefined {
    const since = [...this.#held.values()].map(({ sinceMs }) => sinceMs)
    return since.length === 0 ? undefined : Math.max(0, Math.min(...since) + settleMs - nowMs)
  }

  /** Delays a warning that may be over soon. The next Event about the same readiness replaces it. */
  #note(
    subject: Subject,
    event: EventText,
    at: { readonly nowMs: number; readonly wasReady: boolean },
  ): void {
    const key = `${subject.kind} ${subject.name}`
    const isOfReady = passing.has(event.reason) || event.reason === 'Ready' || event.type === 'Warning'
    const held = isOfReady ? this.#held.get(key) : undefined
    if (isOfReady) this.#held.delete(key)
    if (passing.has(event.reason))
      this.#held.set(key, { subject, event, sinceMs: at.nowMs, wasReady: held?.wasReady ?? at.wasReady })
    else if (!(held?.wasReady && event.reason === 'Ready')) this.#recorder.record(subject, event)
  }

  noteSlots(events: ReadonlyMap<string, EventText>, nodes: readonly TrimmedNode[]): void {
    for (const [node, event] of events) {
      const uid = nodes.find(({ name }) => name === node)?.uid ?? ''
      if (!this.#withoutSlot.has(node))
        this.#recorder.record({ apiVersion: 'v1', kind: 'Node', name: node, uid }, event)
    }
    this.#withoutSlot = new Set(events.keys())
  }
}

/** Why a node that was a gateway of a policy is none for new connections. */
function explainLoss(
  name: string,
  nodes: readonly WorldNode[],
  status: PolicyStatus | undefined,
): string | undefined {
  const node = nodes.find((each) => each.name === name)
  if (node === undefined) return `Node ${name} was deleted.`
  if (!status?.policy.exits.some(({ selectsNode }) => selectsNode(node.labels)))
    return `No nodeSelector of the policy matches node ${name} now.`
  if (status.unhealthy.has(name)) return `Gateway ${name} is not healthy.`
  return node.isCordoned ? `Node ${name} is cordoned.` : status.losses.get(name)
}
