import { existsSync, writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'

/*
 * Many connections that are held open. Each sends a word and must get it back, once when it is new, and once more when a file appears.
 *
 *   held-connections.ts serve PORT
 *   held-connections.ts hold HOST PORT COUNT FOLDER    writes FOLDER/open, waits for FOLDER/go, writes FOLDER/result: lines of JSON
 */

const answerMs = 60_000
const atOnce = 250
const [mode = '', ...parts] = process.argv.slice(2)

function serve(port: number): void {
  createServer((socket) => {
    socket.on('data', (data) => socket.write(data))
    socket.on('error', () => socket.destroy())
  }).listen({ port, host: '::', backlog: 4096 })
}

/** `answered`, or what went wrong. */
type Outcome = string

function ask(socket: Socket, word: string): Promise<Outcome> {
  const { promise, resolve } = Promise.withResolvers<Outcome>()
  socket.once('data', (data) => resolve(data.toString() === word ? 'answered' : `got ${data}`))
  socket.once('error', (error) => resolve(error.message))
  socket.once('close', () => resolve('closed'))
  socket.write(word)
  void setTimeout(answerMs, 'no answer', { ref: false }).then(resolve)
  return promise
}

async function open(host: string, port: number, word: string): Promise<Socket | Outcome> {
  const socket = connect(port, host)
  const outcome = await ask(socket, word)
  return outcome === 'answered' ? socket : outcome
}

const countOf = (outcomes: readonly Outcome[]): string =>
  JSON.stringify(
    Object.fromEntries(Object.entries(Object.groupBy(outcomes, (each) => each)).map(([each, all]) => [each, all?.length])),
  ) // biome-ignore format: one row

async function hold(host: string, port: number, count: number, folder: string): Promise<void> {
  const held: (Socket | Outcome)[] = []
  while (held.length < count) {
    const size = Math.min(atOnce, count - held.length)
    held.push(...(await Promise.all(Array.from({ length: size }, (_, each) => open(host, port, `first ${each}`)))))
  } // biome-ignore format: one row
  writeFileSync(`${folder}/open`, countOf(held.map((each) => (typeof each === 'string' ? each : 'answered'))))
  while (!existsSync(`${folder}/go`)) await setTimeout(200)
  const again = held.map((each, index) => (typeof each === 'string' ? each : ask(each, `again ${index}`)))
  writeFileSync(`${folder}/result`, countOf(await Promise.all(again)))
  process.exit()
}

const [host = '', port = '', count = '', folder = ''] = parts
if (mode === 'serve') serve(Number(parts[0]))
else await hold(host, Number(port), Number(count), folder)
