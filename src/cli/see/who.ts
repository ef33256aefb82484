import type { FlowRow, PortOwner } from '../../agent/api/flows/flow-row.ts'
import { UserError } from '../user-error.ts'
import { agentOf, type ReachedAgent } from './agents.ts'
import type { End } from './ends.ts'

/** The flows behind a port of an egress IP. The port names the node, and the node's mappings name the pod. */
export async function who(
  agents: readonly ReachedAgent[],
  { address, port }: End,
  to: End | undefined,
): Promise<readonly FlowRow[]> {
  const [first] = agents
  if (first === undefined) throw new UserError('no agent runs in this cluster: run "sallyport status"')
  const owner = await first.ask<PortOwner>(
    `/v1/owner?${new URLSearchParams({ address, port: String(port) })}`,
  )
  const query = new URLSearchParams({ egressIp: address, egressPort: String(port) })
  if (to !== undefined) query.set('to', to.address)
  if (to?.port !== undefined) query.set('toPort', String(to.port))
  /* Without an owner, flows may still have the port: since before the policy was deleted, or masqueraded on the node itself. */
  const asked = owner.node === undefined ? agents : [agentOf(agents, owner.node)]
  const rows: FlowRow[] = []
  for (const agent of asked)
    for await (const row of agent.follow<FlowRow>(`/v1/flows?${query}`, false)) rows.push(row)
  if (rows.length > 0) return rows
  throw new UserError(nobody(address, port, owner))
}

function nobody(address: string, port: number | undefined, { isEgressIp, node }: PortOwner): string {
  if (node !== undefined)
    return `no flow has port ${port} of ${address} now. Node ${node} owns the port, so only its pods can have had it`
  return isEgressIp
    ? `no flow has port ${port} of ${address}, and no node owns the port: it belongs to the network stack of the node that has the address`
    : `no policy uses ${address}, and no flow has it`
}
