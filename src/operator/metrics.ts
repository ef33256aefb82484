import type { Registry } from 'prom-client'
import { kinds } from '../api/kinds.ts'
import type { Condition, ObjectMeta } from '../api/metadata.ts'
import { version } from '../api/version.ts'
import type { AddressPlan } from '../decide/ports/lease-grants.ts'
import { portsPerBlock } from '../net/ports.ts'
import type { LoopTimes } from '../runtime/metrics/loop-times.ts'
import { createRegistry, type Definitions, definitionsIn, type Value } from '../runtime/metrics/registry.ts'
import { defineWatches, type WatchView } from '../runtime/metrics/watches.ts'
import type { OperatorWorld } from './decisions.ts'

/** What an operator knows at the time of a scrape. */
export interface Observed {
  readonly isLeader: boolean
  /** Undefined if it does not lead: two processes that tell of the same objects would count them twice. */
  readonly world: Pick<OperatorWorld, Reported> | undefined
  /** By the last decision about leases. */
  readonly plans: readonly Pick<AddressPlan, 'address' | 'leasable' | 'left'>[]
  readonly watches: readonly WatchView[]
}

type Reported = 'ciliumPolicies' | 'isovalentPolicies' | 'egressNodes' | 'egressAddresses'

/** All values are read at each scrape. */
export function createMetrics(loops: LoopTimes, observe: () => Observed): Registry {
  const registry = createRegistry('operator', version)
  const definitions = definitionsIn(registry)
  definitions.gauge(
    'sallyport_operator_leader',
    '1 if this operator leads. Only the leader decides, and only it has metrics about objects.',
    [],
    () => [[{}, Number(observe().isLeader)]],
  )
  defineObjects(definitions, observe)
  definePorts(definitions, observe)
  defineWatches(definitions, () => observe().watches)
  loops.registerIn(registry)
  return registry
}

function defineObjects({ gauge }: Definitions, observe: () => Observed): void {
  gauge('sallyport_operator_objects', 'Objects of each kind.', ['kind'], () =>
    objectsIn(observe().world).map(({ kind, objects }): Value => [{ kind }, objects.length]),
  )
  gauge(
    'sallyport_operator_condition',
    'Always 1. A condition in the status of an object, as docs/conditions.md explains them.',
    ['kind', 'name', 'condition', 'status', 'reason'],
    () =>
      objectsIn(observe().world).flatMap(({ kind, objects }) =>
        objects.flatMap(({ metadata: { name }, status }) =>
          (status?.conditions ?? []).map(
            ({ type: condition, status: truth, reason }): Value => [
              { kind, name, condition, status: truth, reason },
              1,
            ],
          ),
        ),
      ),
  )
}

interface Reporting {
  readonly metadata: ObjectMeta
  readonly status?: { readonly conditions?: readonly Condition[] | undefined } | undefined
}

function objectsIn(
  world: Observed['world'],
): readonly { readonly kind: string; readonly objects: readonly Reporting[] }[] {
  if (world === undefined) return []
  const { ciliumPolicies, isovalentPolicies, egressNodes, egressAddresses } = world
  return [
    { kind: kinds.ciliumEgressGatewayPolicy.kind, objects: ciliumPolicies },
    { kind: kinds.isovalentEgressGatewayPolicy.kind, objects: isovalentPolicies },
    { kind: kinds.egressNode.kind, objects: egressNodes },
    { kind: kinds.egressAddress.kind, objects: egressAddresses },
  ]
}

function definePorts({ gauge }: Definitions, observe: () => Observed): void {
  gauge(
    'sallyport_operator_leasable_ports',
    'Ports of each egress IP that can be leased at all.',
    ['egress_ip'],
    () => observe().plans.map(({ address, leasable }) => [{ egress_ip: address }, leasable * portsPerBlock]),
  )
  gauge(
    'sallyport_operator_free_ports',
    'Leasable ports of each egress IP that no node leases.',
    ['egress_ip'],
    () => observe().plans.map(({ address, left }) => [{ egress_ip: address }, left * portsPerBlock]),
  )
}
