import type { AgentRun } from '../agent-runner.ts'
import type { Cluster } from '../cluster.ts'
import type { Machine } from '../machine.ts'
import { newsUs } from './invariant.ts'

/** What a healthy agent does not know by then it has missed. */
export const lagUs = 10_000_000

/** Which agents must know all changes that are older than `lagUs`. Call `sample` after every event. */
export class InformedAgents {
  readonly #cluster: Cluster
  readonly #runningSinceUs = new Map<AgentRun, number>()

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  sample(): void {
    for (const run of this.#cluster.agents) {
      if (!run.process.isRunning || !run.machine.isMoving || !run.agent.api.isReady())
        this.#runningSinceUs.delete(run)
      else if (!this.#runningSinceUs.has(run)) this.#runningSinceUs.set(run, this.#cluster.clock.nowUs)
    }
  }

  /** Whether the agent of the machine has run for long enough, and nothing has disturbed the cluster or its API server meanwhile. */
  has(machine: Machine): boolean {
    const { clock, apiNetwork } = this.#cluster
    const run = this.#cluster.agentOf(machine)
    const sinceUs = Math.max(
      (run && this.#runningSinceUs.get(run)) ?? clock.nowUs,
      this.#cluster.disturbedAtUs(),
      apiNetwork.troubledAtUs + newsUs - lagUs,
    )
    return clock.nowUs - sinceUs >= lagUs
  }
}
