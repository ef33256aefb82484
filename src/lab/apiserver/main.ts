import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:https'
import { flushCompileCache } from 'node:module'
import { parseArgs } from 'node:util'
import { Access } from './access/access.ts'
import { ensureCertificates } from './http/certificates.ts'
import { proxyUpgrade } from './http/kubelets/kubelet-proxy.ts'
import { ApiServer } from './http/server.ts'
import { bootstrap } from './objects/bootstrap.ts'
import { Store } from './objects/store.ts'

const { values: options } = parseArgs({
  options: {
    listen: { type: 'string', multiple: true, default: ['127.0.0.1:6443'] },
    'data-dir': { type: 'string' },
    'token-auth-file': { type: 'string' },
    'kubelet-token-file': { type: 'string' },
    'ready-file': { type: 'string' },
    'bookmark-every-ms': { type: 'string', default: '60000' },
  },
})

function splitListen(text: string): { host: string; port: number } {
  const at = text.lastIndexOf(':')
  return { host: text.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(text.slice(at + 1)) }
}

/** A request that cannot be read must never end the process that everybody depends on. */
process.on('uncaughtException', (error) => console.error(error))

const directory = options['data-dir']
if (directory === undefined) {
  console.error('apiserver: --data-dir is missing: the folder where everything is kept')
  process.exit(2)
}
const store = new Store(directory)
bootstrap(store)
const listens = options.listen.map(splitListen)
const hosts = [
  ...new Set([...listens.map(({ host }) => host), 'localhost', '127.0.0.1', 'kubernetes.default.svc']),
]
const { cert, key } = ensureCertificates(directory, hosts)
const tokenFile = options['kubelet-token-file']
const kubeletToken = tokenFile === undefined ? '' : readFileSync(tokenFile, 'utf8').trim()
const access = new Access(store, directory, options['token-auth-file'])
const api = new ApiServer(store, access, kubeletToken, Number(options['bookmark-every-ms']))
const ports = await Promise.all(
  listens.map(async ({ host, port }) => {
    const server = createServer(
      { cert, key, keepAliveTimeout: 60_000 },
      (request, response) => void api.handle(request, response),
    )
    server.on('upgrade', (request, socket, head) => proxyUpgrade(api, request, socket, head))
    server.on('clientError', (_error, socket) => socket.destroy())
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(port, host, resolve)
    })
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : port
  }),
)
if (options['ready-file'] !== undefined) writeFileSync(options['ready-file'], `${ports.join(' ')}\n`)
/* Removing a lab kills its processes, and their compiled code would be lost. */
flushCompileCache()
for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => process.exit(0))
