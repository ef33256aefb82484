import { isDeepStrictEqual } from 'node:util'
import type { EgressAddress } from '../api/egress-address.ts'
import { egressAddressName } from '../api/egress-address-name.ts'
import { kinds } from '../api/kinds.ts'
import type { AddressPlan } from '../decide/ports/lease-grants.ts'
import { mergeConditions } from '../decide/status/conditions.ts'
import type { EventText } from '../decide/status/events.ts'
import {
  exhaustion,
  exhaustionEvents,
  gatewayBehind,
  heaviestPod,
  lingeringConditions,
} from '../decide/status/lease-conditions.ts'
import type { World } from '../decide/world.ts'
import type { KubeClient, KubeObject } from '../kube/client.ts'
import { clusterResource } from '../kube/cluster-objects.ts'
import type { Resource } from '../kube/resource.ts'
import type { Address } from '../net/address.ts'
import type { Attempts } from '../runtime/attempts.ts'
import type { Logger } from '../runtime/log.ts'
import { unlessChanged } from './apply.ts'
import type { EventRecorder } from './events.ts'

const kind = kinds.egressAddress

interface ToldAddress {
  readonly object: EgressAddress
  readonly events: readonly EventText[]
}

interface LeaseWriting {
  readonly world: Pick<World, 'egressNodes'>
  /** The gateways that nodes wait for, by address. */
  readonly behind: ReadonlyMap<Address, readonly string[]>
  readonly attempts: Attempts
  /** RFC 3339. */
  readonly now: string
  readonly log: Logger
}

/**
 * Writes changed leases and conditions, each only if its object has not changed since it was read. After a conflict, the watch
 * brings the newer object and the decision is made again. All leases come first, because nodes wait for them. Returns the Events
 * to record.
 */
export async function applyLeases(
  client: KubeClient,
  plans: readonly AddressPlan[],
  { world, behind, attempts, now, log }: LeaseWriting,
): Promise<readonly ToldAddress[]> {
  const resource = client.resource<EgressAddress & KubeObject>(clusterResource(kind))
  await Promise.all(
    plans.map((plan) => attempts.make(() => unlessChanged(() => writeLeases(resource, plan, world, log)))),
  )
  const told: ToldAddress[] = []
  for (const { object, ...plan } of plans) {
    /* An object that was just written gets its conditions when the watch brings it back. */
    if (object === undefined || plan.isChanged) continue
    const before = object.status?.conditions ?? []
    const after = exhaustion({ ...plan, heaviest: heaviestPod(plan.address, world.egressNodes) })
    const conditions = mergeConditions(
      before,
      [
        after,
        ...gatewayBehind(behind.get(plan.address) ?? []),
        ...lingeringConditions(plan.address, plan.lingering),
      ],
      now,
    )
    const isSame = isDeepStrictEqual([before, object.status?.lingering], [conditions, plan.lingering])
    if (isSame) continue
    const write = async (): Promise<void> => {
      const { name, resourceVersion } = object.metadata
      const body = {
        metadata: { resourceVersion },
        status: { conditions, lingering: plan.lingering ?? null },
      }
      await resource.patch(name, 'merge', body, { subresource: 'status', fieldManager: 'sallyport-operator' })
      told.push({ object, events: exhaustionEvents(plan.address, before, after) })
    }
    await attempts.make(() => unlessChanged(write))
  }
  return told
}

async function writeLeases(
  resource: Resource<EgressAddress & KubeObject>,
  { address, object, leases, isChanged, isReleased, isShort, returns }: AddressPlan,
  world: Pick<World, 'egressNodes'>,
  log: Logger,
): Promise<void> {
  if (!isChanged) return
  const owner = ownerOf(world, address)
  const shortage = {
    ...(isShort ? { isShort } : {}),
    ...(returns.length > 0 ? { returns: [...returns] } : {}),
  }
  const spec = {
    address,
    ...(owner === undefined ? {} : { owner }),
    leases: [...leases],
    ...shortage,
    ...(isReleased ? { isReleased } : {}),
  }
  if (object !== undefined) await resource.replace({ ...object, spec } as EgressAddress & KubeObject)
  else
    await resource.create({
      apiVersion: `${kind.group}/${kind.version}`,
      kind: kind.kind,
      metadata: { name: egressAddressName(address) },
      spec,
    } as EgressAddress & KubeObject)
  log.debug({ egressIP: address, leases: leases.length }, 'wrote leases')
}

/** The owner of an address: the first node by name that reports it on an interface. */
function ownerOf({ egressNodes }: Pick<World, 'egressNodes'>, address: string): string | undefined {
  const having = (key: 'addresses' | 'added'): string[] =>
    egressNodes
      .filter(({ status }) => status?.interfaces?.some((each) => each[key]?.includes(address)))
      .map(({ metadata }) => metadata.name)
      .sort()
  return having('addresses')[0] ?? having('added')[0]
}

export function tellExhaustion(recorder: Pick<EventRecorder, 'record'>, told: readonly ToldAddress[]): void {
  for (const { object, events } of told) {
    const { name, uid = '' } = object.metadata
    const subject = { apiVersion: `${kind.group}/${kind.version}`, kind: kind.kind, name, uid }
    for (const event of events) recorder.record(subject, event)
  }
}
