import type { Btf } from './layout/btf.ts'
import { offsetOf } from './layout/field-offset.ts'
import { testRun } from './test-run.ts'

/** The tasks of bpf/types.h. */
export type SweepTask = 'SWEEP_MAPPING' | 'SWEEP_PORT' | 'SWEEP_ORPHAN' | 'SWEEP_TAKEN'
export type SweepAnswer = 'SWEPT_KEPT' | 'SWEPT_REMOVED' | 'SWEPT_ORPHAN'

const ethernetLength = 14

/** Passes keys to the program, many in each packet. */
export function sweepRun(
  programFd: number,
  btf: Btf,
  task: SweepTask,
  keys: readonly Buffer[],
): SweepAnswer[] {
  const layout = btf.struct('sweep_record')
  const [entryAt, taskAt, answerAt] = ['entry', 'task', 'answer'].map((name) => offsetOf(layout, name))
  const answers = new Map([...btf.enumeration('sweep_answer')].map(([name, number]) => [number, name]))
  const taskNumber = btf.constant(task)
  const maxRecords = btf.constant('SWEEP_RECORDS')
  const said: SweepAnswer[] = []
  for (let from = 0; from < keys.length; from += maxRecords) {
    const chunk = keys.slice(from, from + maxRecords)
    const packet = Buffer.alloc(ethernetLength + chunk.length * layout.size)
    const recordAt = (index: number): number => ethernetLength + index * layout.size
    for (const [index, key] of chunk.entries()) {
      key.copy(packet, recordAt(index) + (entryAt ?? 0))
      packet.writeUInt32LE(taskNumber, recordAt(index) + (taskAt ?? 0))
    }
    const { out } = testRun(programFd, packet)
    for (const index of chunk.keys()) {
      const answer = answers.get(out.readUInt32LE(recordAt(index) + (answerAt ?? 0)))
      if (answer === undefined) throw new Error(`the sweep program returned no result for an entry`)
      said.push(answer as SweepAnswer)
    }
  }
  return said
}
