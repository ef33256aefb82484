const ms = 1_000_000n

/**
 * How fast a death is noticed.
 *
 *   the path is broken    probes are lost for 350 ms: one every 100 ms, two may be lost, 50 ms for a busy source
 *   the agent is gone     200 ms without a tick of 50 ms, then the next probe is refused: at most 300 ms
 *   its thread is stuck   3 s: a long computation is no death
 */
export const timing = {
  tickMs: 50,
  ticksPerProbe: 2,
  aliveNs: 200n * ms,
  stuckNs: 3_000n * ms,
  /** gateway_silence_ns of bpf/config.h. Other nodes may count a node as dead if it was not alive for this long. */
  silenceNs: 350n * ms,
  /** In a cluster of two nodes, a node is also asked by ARP if its answer is overdue for this long: two probes. */
  askAfterNs: 150n * ms,
  /**
   * This node judges gateways for this long after a tick. It is shorter than the silence, so that a node whose own agent is
   * stuck does not count gateways as dead.
   */
  probingNs: 250n * ms,
  /** If a tick is later than this, answers may have been missed. */
  lateNs: 200n * ms,
  /** After this many ticks, every node has had time for two answers. */
  ticksBeforeJudging: 5,
  /** How long an agent that stops in order still counts as alive. The next agent starts meanwhile. */
  graceNs: 60_000n * ms,
} as const
