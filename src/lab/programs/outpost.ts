import type { ServerResponse } from 'node:http'
import { createServer } from '../../runtime/http.ts'

/**
 * The far server of the walkthrough. It answers with the caller's address, and whether that address is allowed. GET /seen returns how
 * often each address has called, without counting itself. GET /stream sends a line every 50 ms for five minutes, which shows whether a
 * connection survives.
 */
const port = 8000
const allowed = (process.env.ALLOWED_IP ?? '').split(',').filter((address) => address !== '')
const seen = new Map<string, number>()

const server = createServer((request, response) => {
  const caller = (request.socket.remoteAddress ?? '').replace(/^::ffff:/, '')
  if (request.url === '/seen') {
    response
      .writeHead(200, { 'content-type': 'application/json' })
      .end(`${JSON.stringify(Object.fromEntries(seen))}\n`)
    return
  }
  seen.set(caller, (seen.get(caller) ?? 0) + 1)
  if (request.url === '/stream') {
    streamTo(response, caller)
    return
  }
  response.writeHead(200, { 'content-type': 'text/plain' })
  response.end(
    allowed.includes(caller)
      ? `Access granted. Your source IP (${caller}) matches an allowed IP.\n`
      : `Access denied. Your source IP (${caller}) doesn't match the allowed IPs (${allowed.join(',')})\n`,
  )
})
const streamEveryMs = 50
const streamForMs = 300_000

function streamTo(response: ServerResponse, caller: string): void {
  response.writeHead(200, { 'content-type': 'text/plain' })
  const startedMs = Date.now()
  const timer = setInterval(() => {
    response.write(`${Date.now() - startedMs} ${caller}\n`)
    if (Date.now() - startedMs > streamForMs) response.end()
  }, streamEveryMs)
  response.once('close', () => clearInterval(timer))
}

/* Thousands of connections can arrive at once, and the kernel resets those that find the queue full. */
server.listen({ port, backlog: 4096 })
for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => process.exit(0))
