import type { CiliumEgressGatewayPolicy } from '../api/cilium-egress-gateway-policy.ts'
import type { EgressAddress } from '../api/egress-address.ts'
import type { EgressNode } from '../api/egress-node.ts'
import type { GroupStatus, IsovalentEgressGatewayPolicy } from '../api/isovalent-egress-gateway-policy.ts'
import type { ObjectMeta } from '../api/metadata.ts'
import { natLogAnnotation } from '../api/nat-log-annotation.ts'

/**
 * Keeps only the part of a policy's status that has grants from a pool. Other changes of the status would only wake the
 * agent.
 */
export function trimPolicy<T extends CiliumEgressGatewayPolicy | IsovalentEgressGatewayPolicy>(policy: T): T {
  const { groupStatuses = [] } = (policy.status ?? {}) as { readonly groupStatuses?: readonly GroupStatus[] }
  const grants = groupStatuses.map(({ egressIPByGatewayIP, egressIPv6ByGatewayIP }) => ({
    ...(egressIPByGatewayIP === undefined ? {} : { egressIPByGatewayIP }),
    ...(egressIPv6ByGatewayIP === undefined ? {} : { egressIPv6ByGatewayIP }),
  }))
  return { ...policy, metadata: trimMetadata(policy.metadata), status: { groupStatuses: grants } }
}

/** Drops what only the operator needs of other nodes' reports: demands, selected pods and refusals. */
export function trimEgressNode({ metadata, spec, status }: EgressNode, self: string): EgressNode {
  const { demand, appliedPolicies, selected, refused, heaviest, lingering, ...rest } = status ?? {}
  const own = {
    ...(demand === undefined ? {} : { demand }),
    ...(appliedPolicies === undefined ? {} : { appliedPolicies }),
    ...(selected === undefined ? {} : { selected }),
    ...(refused === undefined ? {} : { refused }),
    ...(heaviest === undefined ? {} : { heaviest }),
    ...(lingering === undefined ? {} : { lingering }),
  }
  return {
    metadata: trimMetadata(metadata),
    ...(spec === undefined ? {} : { spec }),
    status: metadata.name === self ? { ...own, ...rest } : rest,
  }
}

/** Drops the status, which only the operator and users read. */
export function trimEgressAddress({ metadata, spec }: EgressAddress): EgressAddress {
  return { metadata: trimMetadata(metadata), spec }
}

/** Drops fields that change with every write. */
function trimMetadata({ name, uid, generation, creationTimestamp, annotations }: ObjectMeta): ObjectMeta {
  const natLog = annotations?.[natLogAnnotation]
  return {
    name,
    ...(uid === undefined ? {} : { uid }),
    ...(generation === undefined ? {} : { generation }),
    ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    ...(natLog === undefined ? {} : { annotations: { [natLogAnnotation]: natLog } }),
  }
}
