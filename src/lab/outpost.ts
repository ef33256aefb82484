import { createServer } from 'node:http'

/**
 * The far server of the walkthrough: says from which address it was called, and whether that one is admitted.
 * GET /seen tells how often each address has called, for tests; it does not count itself.
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
  response.writeHead(200, { 'content-type': 'text/plain', connection: 'close' })
  response.end(
    allowed.includes(caller)
      ? `Access granted. Your source IP (${caller}) matches an allowed IP.\n`
      : `Access denied. Your source IP (${caller}) doesn't match the allowed IPs (${allowed.join(',')})\n`,
  )
})
server.listen(port)
for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => process.exit(0))
