import type { CiliumEgressGatewayPolicy } from '../api/cilium-egress-gateway-policy.ts'
import type { EgressAddress } from '../api/egress-address.ts'
import { type EgressNode, withoutOperatorReports } from '../api/egress-node.ts'
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

/** Drops what only the operator needs of other nodes' reports. */
export function trimEgressNode({ metadata, spec, status = {} }: EgressNode, self: string): EgressNode {
  return {
    metadata: trimMetadata(metadata),
    ...(spec === undefined ? {} : { spec }),
    status: metadata.name === self ? status : withoutOperatorReports(status),
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
