import assert from 'node:assert/strict'
import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { test } from 'node:test'
import { type Address, parseAddress } from '../net/address.ts'
import { Datagrams } from './datagrams.ts'

async function listen(type: 'udp4' | 'udp6', host: string): Promise<Socket> {
  const socket = createSocket(type)
  socket.bind(0, host)
  await once(socket, 'listening')
  return socket
}

for (const [type, host] of [
  ['udp4', '127.0.0.1'],
  ['udp6', '::1'],
] as const)
  test(`every datagram to ${host} arrives`, async () => {
    const socket = await listen(type, host)
    using datagrams = new Datagrams(socket.address().port)
    const to = parseAddress(host) as Address
    const heard: string[] = []
    socket.on('message', (message) => heard.push(message.toString()))
    for (const word of ['one', 'two']) {
      const arrived = once(socket, 'message')
      assert.equal(datagrams.send(Buffer.from(word), to), true)
      await arrived
      datagrams.keepOnly(new Set())
    }
    assert.deepEqual(heard, ['one', 'two'])
    socket.close()
  })

test('a datagram that cannot be sent is reported, and the next one is sent', async () => {
  const socket = await listen('udp4', '127.0.0.1')
  using datagrams = new Datagrams(socket.address().port)
  const to = parseAddress('127.0.0.1') as Address
  assert.equal(datagrams.send(Buffer.alloc(70_000), to), false)
  const arrived = once(socket, 'message')
  assert.equal(datagrams.send(Buffer.from('x'), to), true)
  await arrived
  socket.close()
})
