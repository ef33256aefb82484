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
  /** gateway_silence_ns of bpf/config.h. A node that was not alive for so long may have been taken for dead. */
  silenceNs: 350n * ms,
  /** A node that owes an answer for so long is asked by ARP as well, where the cluster has no other node: two probes. */
  askAfterNs: 150n * ms,
  /** After this time this node judges no gateway. Shorter than the silence: a source that is stuck must not take gateways for dead. */
  probingNs: 250n * ms,
  /** A tick that comes later than this has missed answers. */
  lateNs: 200n * ms,
  /** So many ticks after a gap everyone has had time for two answers. */
  ticksBeforeJudging: 5,
  /** How long an agent that is stopped in good order counts as alive: its successor starts meanwhile. */
  graceNs: 60_000n * ms,
} as const
