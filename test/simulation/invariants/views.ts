import type { Cluster } from '../cluster.ts'
import type { Machine } from '../machine.ts'
import { type Invariant, newsUs } from './invariant.ts'

/** What an agent shows of another node comes over the API server, and may be as old. */
const lagUs = 10_000_000
/** A person asks now and then. */
const everyUs = 2_000_000

/** A query of an agent's local API changes nothing, before its first tables as little as later. */
export function queriesChangeNothing(cluster: Cluster): Invariant {
  return {
    name: 'a query of the local API changes nothing of what an agent knows or decides',
    sample: () =>
      cluster.agents.map(({ changedByQuery }) => changedByQuery).find((found) => found !== undefined),
  }
}

/**
 * An agent that is asked which node answers for an egress IP names the one that does. What it reaches it knows by its own probes, and
 * never names a node that it sends no packet to.
 */
export function viewsNameTheHolder(cluster: Cluster): Invariant {
  const holderSinceUs = new Map<string, { readonly machine: Machine; readonly sinceUs: number }>()
  /** By agent and egress IP. */
  let wrongSinceUs = new Map<string, number>()
  let askedAtUs = 0
  /** One agent at a time is asked for everything: that takes the longest here. */
  let rounds = 0
  const note = (): void => {
    for (const [address] of [...cluster.snapshots.values()].flatMap(({ orders }) => [...orders])) {
      const [holder, ...others] = cluster.network.router.holders(address)
      const isOnly = holder !== undefined && others.length === 0
      if (!isOnly) holderSinceUs.delete(address)
      else if (holderSinceUs.get(address)?.machine !== holder)
        holderSinceUs.set(address, { machine: holder, sinceUs: cluster.clock.nowUs })
    }
  }
  /** What an agent names is not who answers, and it could know. */
  const isDenied = (
    answering: Machine,
    holder: string | undefined,
    unreachable: readonly string[],
  ): boolean => {
    const { nodeName, run } = cluster.member(answering.name)
    if (holder === undefined || unreachable.includes(nodeName)) return false
    return run?.process.isRunning === true && holder !== nodeName
  }
  return {
    name: 'an agent names the node that answers for an egress IP, even if another node owns it',
    sample(): string | undefined {
      const { nowUs } = cluster.clock
      if (nowUs - askedAtUs < everyUs) return undefined
      askedAtUs = nowUs
      note()
      const isQuiet = nowUs - Math.max(cluster.disturbedAtUs(), cluster.apiNetwork.troubledAtUs) > newsUs
      const stillWrong = new Map<string, number>()
      const asked = cluster.agents[rounds++ % Math.max(1, cluster.agents.length)]
      for (const run of cluster.agents) {
        if (!run.process.isRunning) continue
        if (run === asked) run.askEverything()
        for (const view of run.process.enter(() => run.agent.api.egress()))
          for (const { address, holder, order, unreachable } of view.egressIps) {
            const other = order.find((name) => !unreachable.includes(name))
            if (holder !== undefined && unreachable.includes(holder) && other !== undefined)
              return `${run.process.name} says that ${holder} answers for ${address}. It does not reach ${holder}, and sends to ${other}`
            const known = holderSinceUs.get(address)
            const key = `${run.process.name} ${address}`
            const isWrong = known !== undefined && isQuiet && isDenied(known.machine, holder, unreachable)
            if (!isWrong) continue
            const sinceUs = Math.max(wrongSinceUs.get(key) ?? nowUs, known.sinceUs)
            stillWrong.set(key, sinceUs)
            if (nowUs - sinceUs >= lagUs)
              return `${run.process.name} has said for ${((nowUs - sinceUs) / 1e6).toFixed(1)} s that ${holder} answers for ${address}, but ${known.machine.name} does`
          }
      }
      wrongSinceUs = stillWrong
      return undefined
    },
  }
}
