import { randomBytes, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { AddressInfo, Server as Socket } from 'node:net'
import { createServer } from '../../runtime/http.ts'
import type { Picture } from '../../ui/picture.ts'
import { UserError } from '../user-error.ts'
import type { PageFiles } from './page-files.ts'

/** Where the page gets its pictures from. */
export interface Pictures {
  current(): Picture
  /** Calls `listener` after each change. Returns how to stop. */
  onChange(listener: () => void): () => void
}

interface UiServer {
  readonly server: Server
  /** With the token. */
  readonly url: string
}

const address = '127.0.0.1'

const securityHeaders = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cache-control': 'no-store',
}

/**
 * Serves the page on loopback. Port 0 chooses a free one. A socket that listens on loopback already can be given instead. Only a browser that
 * was opened with the token gets an answer.
 */
export async function serveUi(
  page: PageFiles,
  pictures: Pictures,
  place: number | Socket,
): Promise<UiServer> {
  const token = randomBytes(24).toString('base64url')
  const server = createServer((request, response) => {
    const { port: own } = server.address() as AddressInfo
    answer(request, response, { page, pictures, token, port: own })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        error.code === 'EADDRINUSE'
          ? new UserError(
              `port ${String(place)} of ${address} is taken: choose another with --port, or leave it out`,
            )
          : error,
      ),
    )
    if (typeof place === 'number') server.listen(place, address, resolve)
    else server.listen(place, resolve)
  })
  const { port: own } = server.address() as AddressInfo
  return { server, url: `http://${address}:${own}/?token=${token}` }
}

interface Served {
  readonly page: PageFiles
  readonly pictures: Pictures
  readonly token: string
  readonly port: number
}

function answer(request: IncomingMessage, response: ServerResponse, served: Served): void {
  const { status, type, body, more } = replyTo(request, served)
  if (type === 'text/event-stream') {
    stream(response, served.pictures)
    return
  }
  response
    .writeHead(status, { ...securityHeaders, 'content-type': `${type}; charset=utf-8`, ...more })
    .end(body)
}

interface Reply {
  readonly status: number
  readonly type: string
  readonly body: string
  readonly more?: Readonly<Record<string, string>>
}

function replyTo(request: IncomingMessage, { page, pictures, token, port }: Served): Reply {
  const refuse = (status: number, text: string): Reply => ({ status, type: 'text/plain', body: `${text}\n` })
  const reply = (type: string, body: string): Reply => ({ status: 200, type, body })

  /* A foreign name that resolves to loopback must not reach the page (DNS rebinding). */
  if (request.headers.host !== `${address}:${port}` && request.headers.host !== `localhost:${port}`)
    return refuse(421, 'This server answers only to its own address.')
  if (request.method !== 'GET') return refuse(405, 'This server only reads.')
  const [path = '/', query] = (request.url ?? '/').split('?', 2)
  const cookie = `sallyport-${port}`
  if (path === '/' && isEqual(new URLSearchParams(query).get('token') ?? '', token)) {
    const more = { location: '/', 'set-cookie': `${cookie}=${token}; HttpOnly; SameSite=Strict; Path=/` }
    return { ...refuse(303, ''), more }
  }
  if (!isEqual(cookieOf(request, cookie), token))
    return refuse(403, 'Open the address that "sallyport ui" has printed, with its token.')

  switch (path) {
    case '/':
      return reply('text/html', page.html)
    case '/page.css':
      return reply('text/css', page.style)
    case '/page.js':
      return reply('text/javascript', page.script)
    case '/picture':
      return reply('application/json', JSON.stringify(pictures.current()))
    case '/pictures':
      return reply('text/event-stream', '')
    default:
      return refuse(404, 'There is no such page.')
  }
}

/** Sends the current picture now and after each change. A browser that reads slowly gets only the newest. */
function stream(response: ServerResponse, pictures: Pictures): void {
  response.writeHead(200, { ...securityHeaders, 'content-type': 'text/event-stream' })
  let isWaiting = false
  let isOutdated = false
  const push = (): void => {
    if (isWaiting) {
      isOutdated = true
      return
    }
    isOutdated = false
    isWaiting = !response.write(`data: ${JSON.stringify(pictures.current())}\n\n`)
  }
  response.on('drain', () => {
    isWaiting = false
    if (isOutdated) push()
  })
  const stop = pictures.onChange(push)
  response.once('close', stop)
  push()
}

function cookieOf({ headers }: IncomingMessage, name: string): string {
  const pairs = (headers.cookie ?? '').split(';').map((each) => each.trim().split('='))
  return pairs.find(([key]) => key === name)?.[1] ?? ''
}

function isEqual(given: string, token: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(token)]
  return a.length === b.length && timingSafeEqual(a, b)
}
