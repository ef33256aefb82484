import { spawn } from 'node:child_process'
import { join } from 'node:path'
import type { RunningServer } from '../../support/running-server.ts'

const main = join(import.meta.dirname, '../../../src/lab/controllers/main.ts')

/** The lab's scheduler and controllers, beside an embedded API server. Returns the way to end them. */
export function startControllers(server: RunningServer): AsyncDisposable {
  const child = spawn(
    process.execPath,
    ['--disable-warning=ExperimentalWarning', main, '--server', server.url],
    {
      stdio: ['pipe', 'ignore', 'inherit'],
    },
  )
  child.stdin.end(JSON.stringify({ ca: server.ca, token: server.adminToken, streamToken: '' }))
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  return {
    async [Symbol.asyncDispose]() {
      child.kill()
      await ended
    },
  }
}
