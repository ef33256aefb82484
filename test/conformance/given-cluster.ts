import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { stringify } from 'yaml'
import { readAccess } from '../../src/cli/cluster.ts'
import { KubeClient } from '../../src/kube/client.ts'
import { RunningServer } from '../support/running-server.ts'

/** The cluster that E2E_KUBECONFIG names, or else the lab's own API server. */
export interface GivenCluster {
  readonly kubeconfig: string
  readonly client: KubeClient
  /** For names of what a test makes, so that two runs against one cluster do not meet. */
  readonly suffix: string
  close(): Promise<void>
}

export async function openCluster(): Promise<GivenCluster> {
  const given = process.env.E2E_KUBECONFIG
  const server = given === undefined ? await RunningServer.open() : undefined
  const kubeconfig = given ?? writeKubeconfig(server!)
  const access = await readAccess(kubeconfig)
  const client = new KubeClient(access, { userAgent: 'sallyport-conformance', timeoutMs: 20_000 })
  return {
    kubeconfig,
    client,
    suffix: randomBytes(4).toString('hex'),
    async close() {
      await client[Symbol.asyncDispose]()
      await server?.[Symbol.asyncDispose]()
    },
  }
}

function writeKubeconfig(server: RunningServer): string {
  const path = server.path('given.kubeconfig')
  const cluster = { server: server.url, 'certificate-authority-data': btoa(server.ca) }
  const text = stringify({
    clusters: [{ name: 'given', cluster }],
    users: [{ name: 'me', user: { token: server.adminToken } }],
    contexts: [{ name: 'given', context: { cluster: 'given', user: 'me' } }],
    'current-context': 'given',
  })
  writeFileSync(path, text, { mode: 0o600 })
  return path
}
