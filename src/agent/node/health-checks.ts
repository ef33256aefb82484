import { once } from 'node:events'
import type { Server, ServerResponse } from 'node:http'
import type { HealthCheck } from '../../decide/tables.ts'
import { createServer } from '../../runtime/http.ts'

/**
 * Answers load balancers on the healthCheckNodePorts of Services, in kube-proxy's format: 200 if this node has an endpoint, else 503. A
 * load balancer then sends no connections to a node that would drop them.
 */
export class HealthChecks {
  readonly #servers = new Map<number, { readonly server: Server; check: HealthCheck }>()

  /** Opens and closes ports. Returns what went wrong, one sentence each. */
  async apply(wanted: ReadonlyMap<number, HealthCheck>): Promise<readonly string[]> {
    for (const [port, { server }] of this.#servers)
      if (!wanted.has(port)) {
        this.#servers.delete(port)
        close(server)
      }
    const failures: string[] = []
    for (const [port, check] of wanted) {
      const present = this.#servers.get(port)
      if (present !== undefined) present.check = check
      else
        await this.#open(port, check).catch((error: unknown) => failures.push(describe(port, check, error)))
    }
    return failures
  }

  async #open(port: number, check: HealthCheck): Promise<void> {
    const held = { check, server: createServer((_, response) => answer(held.check, response)) }
    held.server.listen(port)
    await once(held.server, 'listening')
    held.server.unref()
    this.#servers.set(port, held)
  }

  close(): void {
    for (const { server } of this.#servers.values()) close(server)
    this.#servers.clear()
  }
}

function close(server: Server): void {
  server.close()
  server.closeAllConnections()
}

function answer({ namespace, name, localEndpoints }: HealthCheck, response: ServerResponse): void {
  const body = { service: { namespace, name }, localEndpoints, serviceProxyHealthy: true }
  response
    .writeHead(localEndpoints > 0 ? 200 : 503, {
      'content-type': 'application/json',
      'x-load-balancing-endpoint-weight': `${localEndpoints}`,
    })
    .end(JSON.stringify(body))
}

function describe(port: number, { namespace, name }: HealthCheck, error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error)
  return `healthCheckNodePort ${port} of Service ${namespace}/${name} cannot be opened: ${reason}. Load balancers take this node for one without endpoints.`
}
