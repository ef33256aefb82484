/* Run in a far host's namespace: `server PORT ADDRESS...`, `send FROM TO PORT HEX`, or `ask PROTOCOL ADDRESS PORT [TTL]`. An answer is the source that the server saw. */
import dgram from 'node:dgram'
import net from 'node:net'

const [what, ...words] = process.argv.slice(2)
const timeoutMs = 700

function serve(port, addresses) {
  net
    .createServer((socket) => {
      let length = 0
      socket.on('error', () => {})
      socket.on('data', (data) => {
        length += data.length
        if (data.at(-1) === 10) socket.end(`${socket.remoteAddress} ${length}`)
      })
    })
    .listen(port, '::', () => console.log('ready'))
  for (const address of addresses) {
    const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4')
    socket.on('message', (data, from) =>
      socket.send(`${from.address} ${data.length}`, from.port, from.address),
    )
    socket.bind(port, address)
  }
}

function end(text) {
  console.log(text)
  process.exit(0)
}

function ask(protocol, host, port, length = '1', ttl = '64') {
  setTimeout(() => end('nothing'), protocol === 'tcp' ? 4 * timeoutMs : timeoutMs)
  const data = Buffer.alloc(Number(length), 97)
  data[data.length - 1] = 10
  if (protocol === 'tcp') {
    const socket = net.connect(Number(port), host, () => socket.write(data))
    socket.on('error', (error) => end(error.code))
    socket.on('data', (answer) => end(`${answer}`))
    return
  }
  const socket = dgram.createSocket(host.includes(':') ? 'udp6' : 'udp4')
  socket.on('message', (answer) => end(`${answer}`))
  socket.bind(0, () => {
    socket.setTTL(Number(ttl))
    socket.send(data, Number(port), host)
  })
}

/** One datagram from an address of the host: a packet in the tunnel. */
function sendOnce(from, to, port, hex) {
  const socket = dgram.createSocket('udp4')
  socket.bind(0, from, () => socket.send(Buffer.from(hex, 'hex'), Number(port), to, () => end('sent')))
}

if (what === 'send') sendOnce(...words)
else if (what === 'server') serve(Number(words[0]), words.slice(1))
else ask(...words)
