import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { labEnvironment } from '../environment.ts'
import type { LabState } from '../lab-state.ts'
import { labPaths, repository } from '../layout.ts'
import { hostCommand } from '../shell.ts'

/**
 * Serves the lab's page on this machine's loopback until the signal. The process runs in the lab, where it reaches the API server. Its
 * socket is from here, and a socket stays in the network where it was made.
 */
export async function showPage(
  state: LabState,
  print: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const socket = createServer().listen(0, '127.0.0.1')
  await once(socket, 'listening')
  const [command = '', ...words] = hostCommand(state, [join(repository, 'bin/sallyport'), 'ui', '--handed'])
  const child = spawn(command, words, {
    env: labEnvironment(state.name),
    cwd: labPaths(state.name).home,
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  const stop = (): void => void child.kill()
  signal.addEventListener('abort', stop, { once: true })
  if (signal.aborted) stop()
  child.send('socket', socket, () => socket.close())
  if (child.stdout === null) throw new Error('the command has no output')
  for await (const line of createInterface({ input: child.stdout })) {
    const [url] = /http:\S+/.exec(line) ?? []
    if (url === undefined) continue
    print(`\nThe page of this lab is at ${url}`)
    print('Open it in a browser on this machine. To remove the lab, press ctrl-C.')
  }
  signal.removeEventListener('abort', stop)
}
