import type { Cluster } from '../cluster.ts'
import type { Machine } from '../machine.ts'
import type { Invariant } from './invariant.ts'

/** What an agent shows of another node comes over the API server, and may be as old. */
const lagUs = 10_000_000
/** A report that waits in vain for its answer is repeated after 30 s, and then the loop has a rest. */
const repeatUs = 45_000_000
/** A person asks now and then. */
const everyUs = 2_000_000

/** An agent that is asked which node answers for an egress IP names the one that does. The query changes nothing. */
export function viewsNameTheHolder(cluster: Cluster): Invariant {
  const holderSinceUs = new Map<string, { readonly machine: Machine; readonly sinceUs: number }>()
  let askedAtUs = 0
  const note = (): void => {
    for (const [address] of [...cluster.snapshots.values()].flatMap(({ orders }) => [...orders])) {
      const [holder, ...others] = cluster.network.router.holders(address)
      const isOnly = holder !== undefined && others.length === 0
      if (!isOnly) holderSinceUs.delete(address)
      else if (holderSinceUs.get(address)?.machine !== holder)
        holderSinceUs.set(address, { machine: holder, sinceUs: cluster.clock.nowUs })
    }
  }
  return {
    name: 'an agent names the node that answers for an egress IP, even if another node owns it',
    sample(): string | undefined {
      const { nowUs } = cluster.clock
      if (nowUs - askedAtUs < everyUs) return undefined
      askedAtUs = nowUs
      note()
      const isQuiet = nowUs - Math.max(cluster.disturbedAtUs(), cluster.apiNetwork.troubledAtUs) > repeatUs
      for (const run of cluster.agents) {
        if (!run.process.isRunning) continue
        run.process.enter(() => {
          run.agent.api.status()
          run.agent.api.compatibleRows().catch(() => {})
        })
        for (const view of run.process.enter(() => run.agent.api.egress()))
          for (const { address, holder, unreachable } of view.egressIps) {
            const known = holderSinceUs.get(address)
            if (known === undefined || nowUs - known.sinceUs < lagUs || !isQuiet) continue
            const { nodeName, run: answering } = cluster.member(known.machine.name)
            if (
              holder === undefined ||
              unreachable.includes(nodeName) ||
              answering?.process.isRunning !== true
            )
              continue
            if (holder !== nodeName)
              return `${run.process.name} says that ${holder} answers for ${address}; ${nodeName} has done so for ${((nowUs - known.sinceUs) / 1e6).toFixed(1)} s`
          }
      }
      return undefined
    },
  }
}
