import type { EgressAddress } from '../api/egress-address.ts'
import { egressAddressName } from '../api/egress-address-name.ts'
import { kinds } from '../api/kinds.ts'
import type { KubeClient, KubeObject } from '../kube/client.ts'
import { clusterResource } from '../kube/cluster-objects.ts'
import { isNotFound } from '../kube/kube-error.ts'
import { parseAddress } from '../net/address.ts'
import { type Clock, systemClock } from '../runtime/clock.ts'
import { UserError } from './user-error.ts'

const timeoutMs = 60_000
const pollMs = 500

interface Timing {
  readonly timeoutMs: number
  readonly pollMs: number
  readonly clock: Pick<Clock, 'sleep'>
}

/** Ends the lingering of an egress IP, and waits until every node has ended it. What to tell the user. */
export async function releaseAddress(
  client: Pick<KubeClient, 'resource'>,
  text: string,
  timing: Timing = { timeoutMs, pollMs, clock: systemClock },
): Promise<string> {
  const address = parseAddress(text)
  if (address === undefined) throw new UserError(`${text} is not an IP address`, 2)
  const resource = client.resource<EgressAddress & KubeObject>(clusterResource(kinds.egressAddress))
  const name = egressAddressName(address)
  const before = await resource.get(name).catch((error: unknown) => {
    if (isNotFound(error)) return undefined
    throw error
  })
  if (before === undefined || !isLingering(before))
    throw new UserError(
      `egress IP ${address} does not linger: a policy uses it, or no node keeps it. To see which egress IPs linger, run: kubectl get egressaddresses`,
    )
  await resource.patch(name, 'merge', { spec: { isReleased: true } })
  for (let waitedMs = 0; waitedMs < timing.timeoutMs; waitedMs += timing.pollMs) {
    if (!isLingering(await resource.get(name))) {
      const connections = before.status?.lingering?.connections ?? 0
      return `Egress IP ${address} is released. It had about ${connections} connections.`
    }
    await timing.clock.sleep(timing.pollMs)
  }
  throw new UserError(
    `egress IP ${address} is marked as released, but some node still keeps it. Check that the agents run: sallyport status`,
  )
}

function isLingering({ status }: EgressAddress): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === 'Lingering' && is === 'True') ?? false
}
