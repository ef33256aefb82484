import type { LossReason, LossRecord } from '../api/nat-log/nat-log-row.ts'

interface Loss {
  readonly beginMs: number
  endMs: number
  records: number
}

/** Counts lost records, and keeps those that the agent has not reported yet. */
export class Losses {
  readonly total: Record<LossReason, number> = { buffer: 0, limit: 0, file: 0, collector: 0 }
  readonly #untold = new Map<LossReason, Loss>()

  add(reason: LossReason, nowMs: number, records = 1, sinceMs = nowMs): void {
    this.total[reason] += records
    const loss = this.#untold.get(reason) ?? { beginMs: sinceMs, endMs: nowMs, records: 0 }
    loss.records += records
    loss.endMs = nowMs
    this.#untold.set(reason, loss)
  }

  /** Those since the last call. */
  take(node: string): readonly LossRecord[] {
    const told = [...this.#untold].map(
      ([reason, { beginMs, endMs, records }]): LossRecord => ({
        kind: 'loss',
        node,
        reason,
        records,
        begin: new Date(beginMs).toISOString(),
        end: new Date(endMs).toISOString(),
      }),
    )
    this.#untold.clear()
    return told
  }
}
