import WebSocket from 'ws'
import type { ClusterAccess } from '../../kube/access.ts'

const channel = { stdin: 0, stdout: 1, stderr: 2, status: 3 } as const

/** Runs a command in a container with this terminal; its exit code. */
export function execInPod(
  access: ClusterAccess,
  path: string,
  command: readonly string[],
  options: { readonly container: string | undefined; readonly hasStdin: boolean; readonly hasTty: boolean },
): Promise<number> {
  const url = new URL(`${access.server.replace(/^http/, 'ws')}${path}/exec`)
  for (const word of command) url.searchParams.append('command', word)
  if (options.container !== undefined) url.searchParams.set('container', options.container)
  url.searchParams.set('stdin', String(options.hasStdin))
  url.searchParams.set('stdout', 'true')
  if (options.hasTty) url.searchParams.set('tty', 'true')
  else url.searchParams.set('stderr', 'true')
  const socket = new WebSocket(url, 'v5.channel.k8s.io', {
    ...(access.ca === undefined ? {} : { ca: access.ca }),
    headers: { authorization: `Bearer ${access.token() ?? ''}` },
  })
  return new Promise((resolve, reject) => {
    let code = 0
    socket.on('open', () => {
      if (!options.hasStdin) return
      process.stdin.on('data', (data) => socket.send(Buffer.concat([Buffer.from([channel.stdin]), data])))
      process.stdin.resume()
    })
    socket.on('message', (message: Buffer) => {
      const data = message.subarray(1)
      if (message[0] === channel.stdout) process.stdout.write(data)
      if (message[0] === channel.stderr) process.stderr.write(data)
      if (message[0] === channel.status) code = exitCodeOf(JSON.parse(data.toString('utf8')))
    })
    socket.on('error', reject)
    socket.on('close', () => {
      process.stdin.pause()
      resolve(code)
    })
  })
}

interface ExecStatus {
  readonly status: string
  readonly details?: { readonly causes?: readonly { readonly reason: string; readonly message: string }[] }
}

function exitCodeOf({ status, details }: ExecStatus): number {
  if (status === 'Success') return 0
  return Number(details?.causes?.find(({ reason }) => reason === 'ExitCode')?.message ?? 1)
}
