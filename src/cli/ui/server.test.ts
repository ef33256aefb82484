import assert from 'node:assert/strict'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, test } from 'node:test'
import { request } from '../../runtime/http.ts'
import { type Pictures, serveUi } from './server.ts'

const picture = { at: '', policies: [], addresses: [], nodes: [], routes: [], timeline: [], unknown: [] }
const pictures: Pictures = { current: () => picture, onChange: () => () => {} }
const page = { html: '<h1>page</h1>', style: '', script: '' }
const { server, url } = await serveUi(page, pictures, 0)
after(() => server.close())
const { port, address } = server.address() as AddressInfo
const token = new URL(url).searchParams.get('token') ?? ''
const cookie = `sallyport-${port}=${token}`

function ask(
  path: string,
  headers: Readonly<Record<string, string>>,
  method = 'GET',
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', port, path, method, headers, agent: false }, (response) => {
      response.resume()
      resolve(response)
    })
    sent.on('error', reject).end()
  })
}

test('the page listens on loopback only', () => assert.equal(address, '127.0.0.1'))

test('the address with the token sets a cookie that only this page sends', async () => {
  const response = await ask(`/?token=${token}`, {})
  assert.equal(response.statusCode, 303)
  assert.equal(response.headers.location, '/')
  assert.deepEqual(response.headers['set-cookie'], [`${cookie}; HttpOnly; SameSite=Strict; Path=/`])
})

for (const path of ['/', '/page.js', '/page.css', '/picture']) {
  test(`${path} is served with the cookie, and with a strict policy`, async () => {
    const response = await ask(path, { cookie })
    assert.equal(response.statusCode, 200)
    assert.match(
      String(response.headers['content-security-policy']),
      /^default-src 'none'; script-src 'self';/,
    )
    assert.doesNotMatch(String(response.headers['content-security-policy']), /unsafe|http|\*/)
  })
  for (const [name, headers, method, status] of [
    ['without the cookie', {}, 'GET', 403],
    ['with another token', { cookie: `sallyport-${port}=${'A'.repeat(token.length)}` }, 'GET', 403],
    ['with a foreign Host header', { cookie, host: 'attacker.example' }, 'GET', 421],
    ['with a Host header of another port', { cookie, host: '127.0.0.1:1' }, 'GET', 421],
    ['by POST', { cookie }, 'POST', 405],
    ['by DELETE', { cookie }, 'DELETE', 405],
  ] as const)
    test(`${path} is refused ${name}`, async () =>
      assert.equal((await ask(path, headers, method)).statusCode, status))
}

test('a taken port is an error that says what to do', () =>
  assert.rejects(serveUi(page, pictures, port), { message: /is taken: choose another with --port/ }))
