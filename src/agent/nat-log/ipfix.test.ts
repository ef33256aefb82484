import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Address } from '../../net/address.ts'
import { IpfixMessages, type NatEvent } from './ipfix.ts'

const a = (text: string) => text as Address
const event: NatEvent = {
  endMs: 0x0000_0198_0000_0003, beginMs: 0x0000_0198_0000_0001, lastPacketMs: 0x0000_0198_0000_0002,
  protocol: 6,
  source: a('10.244.1.7'), sourcePort: 40000,
  egressIp: a('172.18.0.42'), egressPort: 32768,
  packetsOut: 5n, bytesOut: 500n, packetsIn: 4n, bytesIn: 400n,
  pod: 'shop/web',
} // biome-ignore format: short
const now = new Date(0x6543_2100 * 1000)
const hex = (text: string): string => text.replaceAll(/\s+|#.*$/gm, '')

/** Sets of a message: id and body. */
function sets(message: Buffer): [id: number, body: Buffer][] {
  const found: [number, Buffer][] = []
  for (let at = 16; at < message.length; at += message.readUInt16BE(at + 2))
    found.push([message.readUInt16BE(at), message.subarray(at + 4, at + message.readUInt16BE(at + 2))])
  return found
}

test('a data record has the bytes that RFC 7011 and RFC 8158 ask for', () => {
  const messages = new IpfixMessages(7)
  messages.add(event, now)
  messages.take(now)
  messages.add(event, now)
  const message = messages.take(now)
  assert.equal(
    message.toString('hex'),
    hex(`
      000a 0063 65432100 00000001 00000007   # version, length, export time, one record before, domain
      0100 0053                              # data set of template 256
      0000019800000003 05 06                 # observed at the end, NAT44 session delete, TCP
      0af40107 9c40 ac12002a 8000            # source, port, post-NAT source, port
      0000019800000001 0000019800000002      # begin, last packet
      0000000000000005 00000000000001f4      # out
      0000000000000004 0000000000000190      # in
      08 73686f702f776562`),
  )
})

test('a template names the elements of its records, the reverse ones with the number of RFC 5103', () => {
  const messages = new IpfixMessages(7)
  messages.add(event, now)
  const [templates] = sets(messages.take(now))
  assert.equal(templates?.[0], 2)
  assert.ok(
    templates[1].toString('hex').startsWith(
      hex(`
        0100 000e                            # template 256, 14 fields
        0143 0008  00e6 0001  0004 0001
        0008 0004  0007 0002  00e1 0004  00e3 0002
        0098 0008  0099 0008
        0002 0008  0001 0008  8002 0008 00007279  8001 0008 00007279
        015e ffff
        0101 0010                            # template 257, with destination`),
    ),
  )
})

test('records with and without destination, of both families, have templates of their own', () => {
  const messages = new IpfixMessages(7)
  const six = { ...event, source: a('fd00:1::7'), egressIp: a('2001:db8::42') }
  const destination = { address: a('203.0.113.9'), port: 443 }
  for (const each of [
    event,
    { ...event, destination },
    six,
    { ...six, destination: { address: a('2001:db8:ffff::9'), port: 443 } },
  ])
    messages.add(each, now)
  const [, ...data] = sets(messages.take(now))
  assert.deepEqual(
    data.map(([id]) => id),
    [256, 257, 258, 259],
  )
  assert.ok(data[1]?.[1].includes(Buffer.from('cb007109 01bb'.replace(' ', ''), 'hex')))
  assert.equal(data[2]?.[1].readUInt8(8), 2)
})

test('messages fit into a datagram, count their records, and repeat the templates when asked', () => {
  const messages = new IpfixMessages(7)
  const sent: Buffer[] = []
  for (let index = 0; index < 100; index++) {
    const full = messages.add({ ...event, egressPort: 1024 + index }, now)
    if (full !== undefined) sent.push(full)
  }
  messages.repeatTemplates()
  sent.push(messages.take(now))
  const records = sent.map((message) => {
    const [last] = sets(message).toReversed()
    return (last?.[1].length ?? 0) / 79
  })
  assert.equal(
    records.reduce((sum, each) => sum + each),
    100,
  )
  let before = 0
  for (const [index, message] of sent.entries()) {
    assert.ok(message.length <= 1372, `${message.length} bytes`)
    assert.equal(message.length, message.readUInt16BE(2))
    assert.equal(message.readUInt32BE(8), before)
    before += records[index] ?? 0
    assert.equal(sets(message)[0]?.[0] === 2, index === 0 || index === sent.length - 1)
  }
})

test('a long name of a pod has the long form of a length', () => {
  const messages = new IpfixMessages(7)
  messages.add({ ...event, pod: 'x'.repeat(300) }, now)
  const [, data] = sets(messages.take(now))
  assert.ok(data?.[1].includes(Buffer.from(`ff012c${'78'.repeat(300)}`, 'hex')))
})
