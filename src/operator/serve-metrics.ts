import type { Server } from 'node:http'
import type { Clock } from '../runtime/clock.ts'
import { createServer } from '../runtime/http.ts'
import type { Logger } from '../runtime/log.ts'

interface Serving {
  readonly port: number
  readonly address: string
  readonly read: () => Promise<string>
  readonly clock: Clock
  readonly log: Logger
}

const retryMs = 10_000

/**
 * Serves metrics until the signal. Two operators can be on one node, and both use its network: the second one tries again until
 * the port is free. An operator works without the port, too.
 */
export async function serveMetrics(serving: Serving, signal: AbortSignal): Promise<void> {
  const { port, clock, log } = serving
  let logged = ''
  while (!signal.aborted) {
    try {
      const server = await listen(serving)
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
      server.close()
      server.closeAllConnections()
      return
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error)
      if (message !== logged) log.warn({ port, err: error }, 'cannot serve metrics; retrying')
      logged = message
      await clock.sleep(retryMs, signal)
    }
  }
}

function listen({ port, address, read }: Serving): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end()
      return
    }
    read().then(
      (text) => response.writeHead(200, { 'content-type': 'text/plain; version=0.0.4' }).end(text),
      () => response.writeHead(500).end(),
    )
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, address, () => resolve(server))
  })
}
