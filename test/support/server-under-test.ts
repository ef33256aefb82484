import { after } from 'node:test'
import { KubeClient } from '../../src/kube/client.ts'
import { RunningServer } from './running-server.ts'

/** The lab's API server and a client with all rights, for the tests of one file. Both are closed after them. */
export async function serverUnderTest(
  tokens: readonly string[] = [],
): Promise<{ readonly server: RunningServer; readonly client: KubeClient }> {
  const server = await RunningServer.open([...tokens])
  const client = new KubeClient(
    { server: server.url, ca: server.ca, token: () => server.adminToken },
    { userAgent: 'sallyport-test' },
  )
  after(async () => {
    await client[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
  })
  return { server, client }
}
