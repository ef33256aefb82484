import { connect, type Socket } from 'node:net'

/*
 * Inside a pod: opens many connections to one server at the same moment and holds them all. Each has a request that is not
 * finished before all are open, or have failed; then each is, and must be answered. Prints one line of JSON.
 *
 *   open-connections.ts HOST PORT COUNT [SECONDS]
 */

const [host = '', port = '', count = '', seconds = '60'] = process.argv.slice(2)
const deadlineMs = Number(seconds) * 1000
const startedMs = Date.now()

interface Attempt {
  readonly socket: Socket
  readonly tookMs: number
}

function open(): Promise<Attempt | string> {
  const { promise, resolve } = Promise.withResolvers<Attempt | string>()
  const socket = connect(Number(port), host, () => {
    socket.write('GET / HTTP/1.1\r\nHost: outpost\r\nConnection: close\r\n')
    resolve({ socket, tookMs: Date.now() - startedMs })
  })
  socket.on('error', (error) => resolve(error.message))
  setTimeout(() => resolve('was not open in time'), deadlineMs).unref()
  return promise
}

/** The address that the server saw. */
function finish({ socket }: Attempt): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>()
  let text = ''
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  socket.on('close', () => resolve(/source IP \(([^)]*)\)/.exec(text)?.[1] ?? 'no answer'))
  socket.on('error', () => resolve('broken'))
  socket.write('\r\n')
  setTimeout(() => resolve('no answer in time'), deadlineMs).unref()
  return promise
}

const attempts = await Promise.all(Array.from({ length: Number(count) }, open))
const opened = attempts.filter((attempt) => typeof attempt !== 'string')
const failures = [...new Set(attempts.filter((attempt) => typeof attempt === 'string'))]
const times = opened.map(({ tookMs }) => tookMs).sort((a, b) => a - b)
const addresses: Record<string, number> = {}
for (const address of await Promise.all(opened.map(finish)))
  addresses[address] = (addresses[address] ?? 0) + 1
const at = (share: number): number | undefined => times[Math.floor(share * (times.length - 1))]
const openedMs = { half: at(0.5), most: at(0.99), all: at(1) }
process.stdout.write(`${JSON.stringify({ opened: opened.length, failures, openedMs, addresses })}\n`)
process.exit()
