import { isDeepStrictEqual } from 'node:util'
import type { EgressNode } from '../api/egress-node.ts'
import type { GroupStatus } from '../api/isovalent-egress-gateway-policy.ts'
import { type Kind, kinds } from '../api/kinds.ts'
import type { Condition } from '../api/metadata.ts'
import type { PolicySummary } from '../api/policy-fields.ts'
import type { SlotChange } from '../decide/ports/slot-grants.ts'
import { mergeConditions } from '../decide/status/conditions.ts'
import type { PolicyStatus } from '../decide/status/status.ts'
import type { World } from '../decide/world.ts'
import type { KubeClient, KubeObject } from '../kube/client.ts'
import { clusterResource } from '../kube/cluster-objects.ts'
import { isAlreadyExists, isConflict, isNotFound } from '../kube/kube-error.ts'
import type { Attempts } from '../runtime/attempts.ts'
import type { Logger } from '../runtime/log.ts'
import type { StatuslessKinds } from './missing-status.ts'

/**
 * Writes slots. The API server refuses a write if the object has changed since it was read, so two operators that both believe
 * that they lead cannot overwrite each other's slot. If two objects get the same slot, every agent sees it, and the older keeps it.
 */
export async function applySlots(
  client: KubeClient,
  changes: readonly SlotChange[],
  attempts: Attempts,
  log: Logger,
): Promise<void> {
  const resource = client.resource<EgressNode>(clusterResource(kinds.egressNode))
  for (const change of changes)
    await attempts.make(() => unlessChanged(() => applySlot(resource, change, log)))
}

/** Ignores a conflict: the watch brings the change that caused it, and the decision is made again. */
export async function unlessChanged(write: () => Promise<void>): Promise<void> {
  try {
    await write()
  } catch (error) {
    if (!isConflict(error) && !isAlreadyExists(error) && !isNotFound(error)) throw error
  }
}

async function applySlot(
  resource: ReturnType<KubeClient['resource']>,
  change: SlotChange,
  log: Logger,
): Promise<void> {
  switch (change.action) {
    case 'create':
      await resource.create({
        apiVersion: 'sallyport.dev/v1alpha1',
        kind: 'EgressNode',
        metadata: { name: change.node },
        spec: { slot: change.slot },
      } as KubeObject)
      log.info({ node: change.node, slot: change.slot }, 'granted a slot')
      return
    case 'grant': {
      const { egressNode, slot } = change
      await resource.replace({ ...egressNode, spec: { ...egressNode.spec, slot } } as KubeObject)
      log.info({ node: egressNode.metadata.name, slot }, 'granted a slot')
      return
    }
    case 'remove': {
      const { name, uid } = change.egressNode.metadata
      await resource.delete(name, { uid })
      log.info({ node: name }, 'reclaimed the slot: the node is gone')
      return
    }
    case 'refuse':
      log.error({ node: change.node }, `no slot granted: ${change.reason}`)
  }
}

interface WrittenStatus {
  readonly conditions?: readonly Condition[] | undefined
  readonly observedGeneration?: number | undefined
  readonly summary?: PolicySummary | undefined
  readonly groupStatuses?: readonly GroupStatus[] | undefined
}

type StatusHolder = KubeObject & { readonly status?: WrittenStatus }

/** A policy whose status was written, with the status before and after. */
export interface StatusChange {
  readonly kind: Kind
  readonly object: StatusHolder
  readonly before: WrittenStatus
  readonly after: WrittenStatus
}

interface StatusWrites {
  readonly attempts: Attempts
  readonly statusless: StatuslessKinds
  /** RFC 3339. */
  readonly now: string
}

/**
 * Writes each status that changed, and only if its policy has not changed since it was read. A status also grants addresses of
 * a pool, and no address may be granted twice. The oldest policy comes first, so that an address that it takes from a younger one
 * is not granted twice in between. If the API server refuses one status, the others are still written. Returns the written ones.
 */
export async function applyPolicyStatus(
  client: KubeClient,
  world: Omit<World, 'self'>,
  statuses: readonly PolicyStatus[],
  { attempts, statusless, now }: StatusWrites,
): Promise<readonly StatusChange[]> {
  const changes: StatusChange[] = []
  for (const { policy, conditions, summary, groupStatuses } of statuses) {
    const isCilium = policy.kind === 'CiliumEgressGatewayPolicy'
    const kind = isCilium ? kinds.ciliumEgressGatewayPolicy : kinds.isovalentEgressGatewayPolicy
    const objects: readonly StatusHolder[] = isCilium ? world.ciliumPolicies : world.isovalentPolicies
    const object = objects.find(({ metadata }) => metadata.name === policy.name)
    if (object === undefined) continue
    const before = object.status ?? {}
    const after = {
      observedGeneration: policy.generation,
      conditions: mergeConditions(before.conditions ?? [], conditions, now),
      summary,
      ...(groupStatuses === undefined ? {} : { groupStatuses }),
    }
    const known = Object.keys(after).map((key) => [key, before[key as keyof WrittenStatus]])
    if (isDeepStrictEqual(Object.fromEntries(known), after)) continue
    const write = async (): Promise<void> => {
      await writeStatus(client, kind, object, after)
      changes.push({ kind, object, before, after })
    }
    await attempts.make(() => unlessChanged(() => statusless.unlessStatusless(kind, write)))
  }
  return changes
}

async function writeStatus(
  client: KubeClient,
  kind: Kind,
  { metadata: { name, resourceVersion } }: StatusHolder,
  status: WrittenStatus,
): Promise<void> {
  await client
    .resource(clusterResource(kind))
    .patch(
      name,
      'merge',
      { metadata: { resourceVersion }, status },
      { subresource: 'status', fieldManager: 'sallyport-operator' },
    )
}
