import { createSocket } from 'node:dgram'
import { connect, createServer } from 'node:net'

/*
 * Many flows to one server at the same time, over TCP and UDP. Each sends a word of its own and must get it back, with the address that
 * the server saw. A packet that reaches another client's flow brings another word, or breaks the connection.
 *
 *   many-flows.ts serve PORT
 *   many-flows.ts hold HOST PORT LOCAL_PORT                        prints each word that comes back
 *   many-flows.ts call HOST PORT COUNT WORD [FIRST_LOCAL_PORT]     prints one line of JSON
 */

const deadlineMs = 60_000
const [mode = '', ...parts] = process.argv.slice(2)

function serve(port: number): void {
  const words = (text: string): string[] => text.split('\n').filter((word) => word !== '')
  createServer((socket) => {
    const from = socket.remoteAddress?.replace('::ffff:', '')
    socket.on('data', (data) => {
      for (const word of words(data.toString())) socket.write(`${from} ${word}\n`)
    })
    socket.on('error', () => socket.destroy())
  }).listen(port, '0.0.0.0', 1024)
  const udp = createSocket('udp4')
  udp.on('message', (data, { address, port: peer }) => udp.send(`${address} ${data}`, peer, address))
  udp.bind(port)
}

interface Call {
  readonly host: string
  readonly port: number
  readonly word: string
  readonly localPort: number | undefined
}

/** `172.18.0.5`, or what went wrong. */
type Outcome = string

function judge(answer: string, word: string): Outcome {
  const [from = '', echoed] = answer.trim().split(' ')
  return echoed === word ? from : `got ${echoed}`
}

/** Asks twice, the second time when all flows are open. */
function overTcp({ host, port, word, localPort }: Call, allOpen: Promise<unknown>): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>()
  const socket = connect({ host, port, ...(localPort === undefined ? {} : { localPort }) })
  let received = ''
  socket.on('connect', () => {
    socket.write(`${word}-1\n`)
    void allOpen.then(() => socket.write(`${word}-2\n`))
  })
  socket.on('data', (data) => {
    received += data.toString()
    const [first = '', second] = received.split('\n')
    if (second)
      resolve(judge(first, `${word}-1`) === judge(second, `${word}-2`) ? judge(first, `${word}-1`) : received)
  })
  socket.on('error', (error) => resolve(error.message))
  setTimeout(() => resolve('TCP: no answer'), deadlineMs).unref()
  return promise
}

function overUdp({ host, port, word, localPort }: Call): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>()
  const socket = createSocket('udp4')
  socket.on('message', (data) => resolve(judge(data.toString(), word)))
  socket.on('error', (error) => resolve(error.message))
  socket.bind(localPort ?? 0, () => {
    socket.send(word, port, host)
    setInterval(() => socket.send(word, port, host), 1000).unref()
  })
  setTimeout(() => resolve('UDP: no answer'), deadlineMs).unref()
  return promise
}

async function call([host = '', port, count, name = '', first]: readonly string[]): Promise<void> {
  const calls = Array.from({ length: Number(count) }, (_, index): Call => {
    const localPort = first === undefined ? undefined : Number(first) + 4 * index
    return { host, port: Number(port), word: `${name}-${index}`, localPort }
  })
  const allOpen = new Promise((resolve) => setTimeout(resolve, 4_000))
  const outcomes = await Promise.all(calls.flatMap((each) => [overTcp(each, allOpen), overUdp(each)]))
  const counts: Record<string, number> = {}
  for (const outcome of outcomes) counts[outcome] = (counts[outcome] ?? 0) + 1
  process.stdout.write(`${JSON.stringify(counts)}\n`, () => process.exit())
}

/** One connection, over which words go and come until one side ends it. */
function hold(host: string, port: number, localPort: number): void {
  const socket = connect({ host, port, localPort })
  socket.on('data', (data) => process.stdout.write(data))
  socket.on('close', () => process.exit())
  setInterval(() => socket.write('word\n'), 100)
}

if (mode === 'serve') serve(Number(parts[0]))
else if (mode === 'hold') hold(parts[0] ?? '', Number(parts[1]), Number(parts[2]))
else await call(parts)
