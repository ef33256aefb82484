import { writeFileSync } from 'node:fs'
import type { Logger } from './log.ts'

/**
 * Writes to a file every few seconds while this process moves. For a kubelet's probe that wants no port: in the node's network
 * two replicas on one node would both want it.
 */
export function keepHeartbeat(file: string, everyMs: number, log: Logger): NodeJS.Timeout {
  const beat = (): void => {
    try {
      writeFileSync(file, new Date().toISOString())
    } catch (error) {
      log.warn({ err: error, file }, 'writing the heartbeat file failed; liveness probes will fail')
    }
  }
  beat()
  return setInterval(beat, everyMs).unref()
}
