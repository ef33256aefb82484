import assert from 'node:assert/strict'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { PassThrough } from 'node:stream'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import { type KubeletCall, streamLog, streamUpgrade } from './kubelet-streams.ts'

describe('a kubelet that accepts connections and says nothing, as that of a frozen node', () => {
  const kubelet = createServer(() => {}).on('upgrade', () => {})
  let call: KubeletCall
  before(async () => {
    await new Promise<void>((resolve) => kubelet.listen(0, '127.0.0.1', resolve))
    const { port } = kubelet.address() as AddressInfo
    call = { host: '127.0.0.1', port, path: '/', token: 'secret', timeoutMs: 50 }
  })
  after(() => {
    kubelet.closeAllConnections()
    kubelet.close()
  })

  test('has no logs', async () => {
    await assert.rejects(streamLog(call, {} as ServerResponse), {
      message: `error dialing backend: dial tcp 127.0.0.1:${call.port}: i/o timeout`,
    })
  })

  test('runs no command', async () => {
    const [socket, answer] = [new PassThrough(), new PassThrough()]
    const client = Object.assign(socket, { end: (said: string) => answer.end(said) })
    const headers = { connection: 'upgrade', upgrade: 'websocket' }
    streamUpgrade(call, { headers } as never, client as never, Buffer.alloc(0))
    assert.match(await text(answer), /^HTTP\/1.1 500 .*error dialing backend: .*i\/o timeout/s)
  })
})
