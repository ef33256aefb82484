import { readFileSync, rmSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { Agent, request as httpsRequest } from 'node:https'
import { parseArgs } from 'node:util'
import { createServer } from '../../runtime/http.ts'
import { readTokenFile } from '../apiserver/access/access.ts'
import { passUpgrade, refuse, toStatusError } from '../apiserver/http/kubelets/kubelet-streams.ts'
import { credentialsFor, forwardedHeaders, withCredentials } from './credentials.ts'
import { passRequest, sendRefusal, unanswered } from './forward.ts'
import { type JoinedAccess, tokenOf } from './kubeconfig.ts'

/**
 * The half of the relay outside the lab. It reaches the joined API server and has the kubeconfig's credentials. It listens on a Unix socket,
 * which works across network namespaces.
 */
const { values: options } = parseArgs({
  options: {
    joined: { type: 'string', default: '' },
    'token-auth-file': { type: 'string', default: '' },
    'impersonate-nodes': { type: 'boolean', default: false },
    socket: { type: 'string', default: '' },
  },
})

process.on('uncaughtException', (error) => console.error(error))

const joined = JSON.parse(readFileSync(options.joined, 'utf8')) as JoinedAccess
const labTokens = new Map(readTokenFile(options['token-auth-file']))
const server = new URL(joined.server)

/** Connections are reused, so those with the kubeconfig's client certificate are separate from those without. */
const tls = {
  keepAlive: true,
  ...(joined.ca === undefined ? {} : { ca: joined.ca }),
  ...(joined.tlsServerName === undefined ? {} : { servername: joined.tlsServerName }),
  ...(joined.skipsTlsVerify ? { rejectUnauthorized: false } : {}),
}
const agents = { caller: new Agent(tls), kubeconfig: new Agent({ ...tls, ...joined.clientCertificate }) }

function dial(request: IncomingMessage, isUpgrade: boolean) {
  const credentials = credentialsFor(
    request.headersDistinct.authorization,
    labTokens,
    options['impersonate-nodes'],
  )
  const headers = forwardedHeaders(request.headersDistinct, isUpgrade)
  return httpsRequest({
    host: server.hostname.replace(/^\[|\]$/g, ''),
    port: server.port || 443,
    path: `${server.pathname.replace(/\/$/, '')}${request.url ?? '/'}`,
    method: request.method,
    agent: credentials.as === 'caller' ? agents.caller : agents.kubeconfig,
    headers: withCredentials(headers, credentials, tokenOf(joined)),
  })
}

const relay = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  try {
    passRequest(dial(request, false), request, response)
  } catch (error) {
    sendRefusal(response, toStatusError(error))
  }
})
relay.on('upgrade', (request, socket, head) => {
  socket.on('error', () => socket.destroy())
  try {
    passUpgrade(dial(request, true), socket, head, unanswered)
  } catch (error) {
    refuse(socket, toStatusError(error))
  }
})
relay.on('clientError', (_error, socket) => socket.destroy())
rmSync(options.socket, { force: true })
process.umask(0o077)
relay.listen(options.socket)
for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => process.exit(0))
