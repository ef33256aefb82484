import { createSocket } from 'node:dgram'
import { appendFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'

/*
 * Many flows to one server, which writes down each end that it sees, and what that client calls itself.
 *
 *   logged-flows.ts serve PORT FILE                     a line for each flow: TCP 192.0.2.42:40123 WORD
 *   logged-flows.ts hold HOST PORT COUNT WORD SECONDS   half over TCP, half over UDP; prints how many were answered
 */

const [mode = '', ...parts] = process.argv.slice(2)

function serve(port: number, file: string): void {
  const note = (protocol: string, from: string, word: string): void =>
    appendFileSync(file, `${protocol} ${from} ${word}\n`)
  createServer((socket) => {
    const { remoteAddress, remotePort } = socket
    const from = `${remoteAddress?.replace('::ffff:', '')}:${remotePort}`
    /* The kernel does not tell the address of a client that has reset the connection before it was accepted. */
    if (remoteAddress !== undefined) socket.once('data', (data) => note('TCP', from, data.toString().trim()))
    socket.on('data', (data) => socket.write(data))
    socket.on('error', () => socket.destroy())
  }).listen(port, '0.0.0.0', 4096)
  const known = new Set<string>()
  const udp = createSocket({ type: 'udp4', recvBufferSize: 1 << 22 })
  udp.on('message', (data, { address, port: peer }) => {
    const key = `${address}:${peer} ${data}`
    if (!known.has(key)) note('UDP', `${address}:${peer}`, `${data}`.trim())
    known.add(key)
    udp.send(data, peer, address)
  })
  udp.bind(port)
}

function hold([host = '', port, count, word, seconds]: readonly string[]): void {
  const answered = new Set<number>()
  for (let index = 0; index < Number(count); index++) {
    const done = (): void => void answered.add(index)
    if (index % 2 === 0) {
      const socket = connect(Number(port), host, () => socket.write(`${word}\n`))
      socket.on('data', done)
      socket.on('error', () => {})
      setInterval(() => socket.write(`${word}\n`), 1000)
    } else {
      const socket = createSocket('udp4')
      socket.on('message', done)
      socket.on('error', () => {})
      const send = (): void => socket.send(`${word}\n`, Number(port), host)
      send()
      setInterval(send, 1000)
    }
  }
  setTimeout(() => process.stdout.write(`${answered.size}\n`, () => process.exit()), Number(seconds) * 1000)
}

if (mode === 'serve') serve(Number(parts[0]), parts[1] ?? '')
else hold(parts)
