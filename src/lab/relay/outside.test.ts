import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, describe, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { ensureCertificates } from '../apiserver/http/certificates.ts'
import { until } from '../machines/machine.ts'
import type { JoinedAccess } from './kubeconfig.ts'

/** The request as the API server received it. */
interface Seen {
  readonly hasCertificate: boolean
  readonly authorization: string | undefined
  readonly path: string
}

/**
 * With a client certificate in the kubeconfig: Kubernetes prefers a connection's certificate over a token, so a connection with
 * that certificate must not carry requests of other callers.
 */
describe('the outside half of the relay, with a client certificate', () => {
  const directory = mkdtempSync(join(tmpdir(), 'relay-test-'))
  const socketPath = join(directory, 'relay.sock')
  let server: Server
  let relay: ChildProcess

  before(async () => {
    const { ca, cert, key } = ensureCertificates(directory, ['127.0.0.1'])
    server = createServer(
      { cert, key, requestCert: true, rejectUnauthorized: false },
      (request, response) => {
        const { raw } = (request.socket as TLSSocket).getPeerCertificate()
        const { authorization } = request.headers
        const seen: Seen = { hasCertificate: raw !== undefined, authorization, path: request.url ?? '' }
        response.end(JSON.stringify(seen))
      },
    )
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const joined: JoinedAccess = {
      server: `https://127.0.0.1:${port}/clusters/c1`,
      ca,
      clientCertificate: { cert, key },
    }
    writeFileSync(join(directory, 'joined.json'), JSON.stringify(joined))
    writeFileSync(join(directory, 'tokens.csv'), 'admin-token,admin,1,"system:masters"\n')
    const words = [
      ...['--disable-warning=ExperimentalWarning', join(import.meta.dirname, 'outside.ts')],
      ...['--joined', join(directory, 'joined.json'), '--token-auth-file', join(directory, 'tokens.csv')],
      ...['--socket', socketPath],
    ]
    relay = spawn(process.execPath, words, { stdio: ['ignore', 'inherit', 'inherit'] })
    await until('the relay listens', () => existsSync(socketPath), 20_000)
  })
  after(() => {
    relay.kill()
    server.close()
    server.closeAllConnections()
    rmSync(directory, { recursive: true })
  })

  const ask = (headers: Record<string, string>): Promise<Seen> =>
    new Promise((resolve, reject) => {
      httpRequest({ socketPath, path: '/api', headers }, (incoming) => {
        text(incoming)
          .then((answer) => resolve(JSON.parse(answer) as Seen))
          .catch(reject)
      })
        .on('error', reject)
        .end()
    })

  test('sends a request with a token of the lab with the kubeconfig’s certificate', async () => {
    const seen = await ask({ authorization: 'Bearer admin-token' })
    assert.deepEqual(seen, { hasCertificate: true, path: '/clusters/c1/api' })
  })

  test('never sends a request of another caller over a connection with that certificate', async () => {
    await ask({ authorization: 'Bearer admin-token' })
    assert.equal((await ask({})).hasCertificate, false)
    const seen = await ask({ authorization: 'Bearer x' })
    assert.deepEqual([seen.hasCertificate, seen.authorization], [false, 'Bearer x'])
  })
})
