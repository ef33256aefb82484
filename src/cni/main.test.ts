import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'

interface Answer {
  readonly code: number
  readonly output: Record<string, unknown>
}

function call(
  env: Record<string, string>,
  input: object | string,
  words: readonly string[] = [],
): Promise<Answer> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), ...words], {
    env: { PATH: process.env.PATH, ...env },
  })
  let output = ''
  child.stdout.on('data', (data) => (output += data))
  child.stdin.on('error', () => {})
  child.stdin.end(typeof input === 'string' ? input : JSON.stringify(input))
  return new Promise((resolve) =>
    child.on('close', (code) =>
      resolve({ code: code ?? 1, output: output === '' ? {} : JSON.parse(output) }),
    ),
  )
}

const add = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/run/netns/c1',
  CNI_IFNAME: 'eth0',
  CNI_ARGS: 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=xwing;K8S_POD_UID=u1',
}

describe('the CNI plugin', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-cni-'))
  const agentSocket = join(directory, 'agent.sock')
  const asked: unknown[] = []
  let answer: { status: number; body: object } = { status: 200, body: {} }
  const agent = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      asked.push(JSON.parse(Buffer.concat(chunks).toString()))
      response.writeHead(answer.status).end(JSON.stringify(answer.body))
    })
  })
  before(() => new Promise<void>((resolve) => agent.listen(agentSocket, resolve)))
  after(() => {
    agent.close()
    rmSync(directory, { recursive: true })
  })
  const configuration = { cniVersion: '1.0.0', name: 'sallyport', type: 'sallyport-cni', agentSocket }

  test('tells which versions it speaks', async () => {
    const { output } = await call({ CNI_COMMAND: 'VERSION' }, '')
    assert.deepEqual(output.supportedVersions, ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'])
  })

  test('hands the pod to the agent, and its result to the runtime in the runtime’s version', async () => {
    answer = {
      status: 200,
      body: {
        cniVersion: '1.0.0',
        interfaces: [],
        ips: [{ interface: 1, address: '10.244.1.2/24', gateway: '10.244.1.1' }],
        routes: [],
      },
    }
    const { code, output } = await call(add, { ...configuration, cniVersion: '0.4.0' })
    assert.equal(code, 0)
    assert.equal(output.cniVersion, '0.4.0')
    assert.deepEqual(asked.at(-1), {
      command: 'ADD',
      containerId: 'c1',
      interfaceName: 'eth0',
      netns: '/run/netns/c1',
      pod: { namespace: 'default', name: 'xwing', uid: 'u1' },
    })
  })

  test('chained, it tells the agent what the plugin before it has made, and passes that on', async () => {
    answer = { status: 204, body: {} }
    const prevResult = {
      cniVersion: '0.3.1',
      interfaces: [{ name: 'veth1' }, { name: 'eth0', sandbox: '/run/netns/c1' }],
      ips: [{ version: '4', interface: 1, address: '10.244.1.5/24' }],
      dns: {},
    }
    const { code, output } = await call(add, { ...configuration, cniVersion: '0.3.1', prevResult })
    assert.equal(code, 0)
    assert.deepEqual(output, prevResult)
    assert.deepEqual((asked.at(-1) as { prevResult: unknown }).prevResult, prevResult)
  })

  test('a pod of a network as old as 0.2.0 is chained', async () => {
    answer = { status: 204, body: {} }
    const prevResult = { cniVersion: '0.2.0', ip4: { ip: '10.244.1.5/24' }, dns: {} }
    const { code, output } = await call(add, { ...configuration, cniVersion: '0.2.0', prevResult })
    assert.equal(code, 0)
    assert.deepEqual(output, prevResult)
  })

  test('a pod that asks for a port of its node is refused, and told what serves one', async () => {
    const before = asked.length
    const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] }
    const { code, output } = await call(add, { ...configuration, runtimeConfig })
    assert.equal(code, 1)
    assert.match(String(output.msg), /hostPort 8080, which .* does not serve: .*hostNetwork or a Service/)
    assert.equal(asked.length, before, 'the agent makes nothing for it')
    answer = { status: 200, body: {} }
    assert.equal((await call({ ...add, CNI_COMMAND: 'DEL' }, { ...configuration, runtimeConfig })).code, 0)
  })

  test('chained, ports of the node are left to the plugins before it', async () => {
    answer = { status: 204, body: {} }
    const runtimeConfig = { portMappings: [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }] }
    assert.equal((await call(add, { ...configuration, runtimeConfig, prevResult: { ips: [] } })).code, 0)
  })

  test('a pod can end without an agent', async () => {
    const without = { ...configuration, agentSocket: join(directory, 'nobody.sock') }
    assert.deepEqual(await call({ ...add, CNI_COMMAND: 'DEL' }, without), { code: 0, output: {} })
  })

  test('a pod does not end while the agent fails to take it apart', async () => {
    answer = { status: 500, body: { message: 'the device is stuck' } }
    assert.equal((await call({ ...add, CNI_COMMAND: 'DEL' }, configuration)).output.code, 100)
  })

  describe('called as loopback', () => {
    const words = ['loopback', agentSocket]
    const loopback = { cniVersion: '0.3.1', name: 'cni-loopback', type: 'loopback' }
    const env = { CNI_COMMAND: 'ADD', CNI_CONTAINERID: 'c1', CNI_NETNS: '/run/netns/c1', CNI_IFNAME: 'lo' }

    test('it lets the agent set lo up, and answers with what lo has', async () => {
      answer = { status: 200, body: { addresses: ['127.0.0.1/8', '::1/128'] } }
      const { code, output } = await call(env, loopback, words)
      assert.equal(code, 0)
      assert.deepEqual(asked.at(-1), { netns: '/run/netns/c1' })
      assert.deepEqual(output, {
        cniVersion: '0.3.1',
        interfaces: [{ name: 'lo', mac: '00:00:00:00:00:00', sandbox: '/run/netns/c1' }],
        ips: [
          { version: '4', interface: 0, address: '127.0.0.1/8' },
          { version: '6', interface: 0, address: '::1/128' },
        ],
      })
    })

    test('it passes on what a plugin before it has made', async () => {
      answer = { status: 200, body: { addresses: ['127.0.0.1/8'] } }
      const prevResult = { cniVersion: '1.0.0', interfaces: [], ips: [] }
      const { output } = await call(env, { ...loopback, cniVersion: '1.0.0', prevResult }, words)
      assert.deepEqual(output, prevResult)
    })

    test('without an agent a pod waits, and can still be deleted', async () => {
      const nobody = ['loopback', join(directory, 'nobody.sock')]
      assert.equal((await call(env, loopback, nobody)).output.code, 11)
      assert.deepEqual(await call({ ...env, CNI_COMMAND: 'DEL' }, loopback, nobody), { code: 0, output: {} })
    })
  })

  for (const [what, env, input, code] of [
    [
      'without an agent the pod waits',
      add,
      { ...configuration, agentSocket: join(directory, 'nobody.sock') },
      11,
    ],
    [
      'without an agent the node can take no pods',
      { CNI_COMMAND: 'STATUS' },
      { ...configuration, agentSocket: join(directory, 'nobody.sock') },
      50,
    ],
    [
      'a version whose results have another form is refused',
      add,
      { ...configuration, cniVersion: '0.2.0' },
      1,
    ],
    ['an unknown version is refused', add, { ...configuration, cniVersion: '9.9.9' }, 1],
    ['no pod is named', { ...add, CNI_ARGS: '' }, configuration, 4],
    ['no container is named', { ...add, CNI_CONTAINERID: '' }, configuration, 4],
    ['the configuration is not JSON', add, 'x', 7],
  ] as const)
    test(`${what}: code ${code}`, async () => {
      const answered = await call(env, input)
      assert.equal(answered.code, 1)
      assert.equal(answered.output.code, code)
      assert.ok(String(answered.output.msg).length > 0)
    })

  test('when the agent cannot yet, the node can take no pods', async () => {
    answer = { status: 503, body: { message: 'not yet' } }
    assert.equal((await call({ CNI_COMMAND: 'STATUS' }, configuration)).output.code, 50)
  })

  test('if the agent is not ready, the plugin tells the runtime to try again', async () => {
    answer = { status: 503, body: { message: 'not yet' } }
    assert.deepEqual((await call(add, configuration)).output, {
      cniVersion: '1.0.0',
      code: 11,
      msg: 'not yet',
    })
  })
})
