import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { runCommand } from '../../test/support/command-under-test.ts'
import type { ServiceView } from '../agent/api/local-api.ts'
import { type LocalApi, serveLocalApi } from '../agent/api/serve.ts'
import { type Address, parseAddress } from '../net/address.ts'

/** The agent's real socket, with the Services that a test chooses. */
let listed: readonly ServiceView[] = []
const directory = mkdtempSync(join(tmpdir(), 'sallyport-services-'))
const socket = join(directory, 'agent.sock')
const run = (...words: string[]) => runCommand(words, { SALLYPORT_SOCKET: socket, HOME: directory })
const server = await serveLocalApi(socket, { services: () => listed } as LocalApi)
after(() => {
  server.close()
  server.closeAllConnections()
  rmSync(directory, { recursive: true })
})

const address = (text: string): Address => parseAddress(text) ?? assert.fail(text)

const dns: ServiceView = {
  id: 1,
  service: 'kube-system/kube-dns',
  kind: 'ClusterIP',
  address: address('10.96.0.10'),
  port: 53,
  protocol: 'UDP',
  affinitySeconds: 0,
  endpoints: [
    { address: address('10.244.1.5'), port: 1053, state: 'active' },
    { address: address('10.244.2.5'), port: 1053, state: 'terminating' },
  ],
}

test('service list prints the table of cilium service list, with the name of the Service', async () => {
  listed = [dns, { ...dns, id: 2, address: address('fd00:96::a'), endpoints: [] }]
  assert.deepEqual(await run('service', 'list'), {
    code: 0,
    stdout:
      'ID   Frontend              Service Type   Backend                              Service\n' +
      '1    10.96.0.10:53/UDP     ClusterIP      1 => 10.244.1.5:1053 (active)        kube-system/kube-dns\n' +
      '                                          2 => 10.244.2.5:1053 (terminating)\n' +
      '2    [fd00:96::a]:53/UDP   ClusterIP                                           kube-system/kube-dns\n',
    stderr: '',
  })
  assert.equal(JSON.parse((await run('service', 'ls', '-o', 'json')).stdout).length, 2)
})

test('bpf lb list prints the table of cilium bpf lb list', async () => {
  listed = [{ ...dns, affinitySeconds: 10800 }]
  assert.equal(
    (await run('bpf', 'lb', 'list')).stdout,
    'SERVICE ADDRESS         BACKEND ADDRESS (REVNAT_ID) (SLOT)\n' +
      '10.96.0.10:53/UDP (0)   0.0.0.0:0 (1) (0) [ClusterIP, non-routable, sessionAffinity]\n' +
      '10.96.0.10:53/UDP (1)   10.244.1.5:1053 (1) (1)\n',
  )
})

test('a node port has the address 0.0.0.0, which stands for all nodes, and says whether only endpoints of one node count', async () => {
  const nodePort: ServiceView = { ...dns, kind: 'NodePort', address: address('0.0.0.0'), port: 30053 }
  listed = [
    { ...nodePort, clients: 'Cluster' },
    { ...nodePort, id: 2, clients: 'Local' },
  ]
  assert.match(
    (await run('service', 'list')).stdout,
    /^1 +0\.0\.0\.0:30053\/UDP +NodePort +1 => 10\.244\.1\.5:1053/m,
  )
  const { stdout } = await run('bpf', 'lb', 'list')
  assert.match(stdout, /0\.0\.0\.0:0 \(1\) \(0\) \[NodePort\]/)
  assert.match(stdout, /0\.0\.0\.0:0 \(2\) \(0\) \[NodePort, Local\]/)
})

test('a node that translates no Services says so', async () => {
  listed = []
  const nothing = { code: 0, stdout: '', stderr: 'This node translates no Services.\n' }
  assert.deepEqual(await run('service', 'list'), nothing)
})

for (const command of ['service list', 'bpf lb list'])
  test(`${command} refuses an unknown output format as a usage error`, async () => {
    const { code, stdout, stderr } = await run(...command.split(' '), '-o', 'yaml')
    assert.deepEqual({ code, stdout }, { code: 2, stdout: '' })
    assert.match(stderr, /'yaml' is invalid/)
  })
