import { existsSync, writeFileSync } from 'node:fs'
import type { Logger } from './log.ts'

/**
 * Where a start stands, for a start that never ends. A process that hangs cannot speak, so it says before each stage what comes: in its
 * log, and in the file that the kubelet shows as `lastState.terminated.message` when a probe has ended the container. The program's shell
 * script writes the first stage, before there is any JavaScript.
 *
 * The file exists only where a kubelet mounted it. Nothing is created: on a plain machine /dev is everybody's.
 */
const terminationLog = process.env.SALLYPORT_TERMINATION_LOG ?? '/dev/termination-log'

export function enterStage(stage: string, log?: Logger): void {
  log?.info({ stage }, `start: ${stage}`)
  write(`the start stopped at: ${stage}`)
}

/**
 * From now on, the container's log shows why it ended. The kubelet reads the log if this file is empty
 * (`FallbackToLogsOnError`).
 */
export function leaveStages(): void {
  write('')
}

function write(text: string): void {
  try {
    if (existsSync(terminationLog)) writeFileSync(terminationLog, text)
  } catch {
    /* The file only helps users, so the start continues without it */
  }
}
