import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { dualStack, ipv6Of } from '../../src/lab/layout.ts'
import { cannotRun, curlOutpost, eventually, hangTimeoutMs, labFor, type } from './lab-under-test.ts'
import { someNodes } from './story.ts'

/* Stand-alone without kube-proxy: a client outside the cluster calls Services. By default, its entry node is kind-worker. */

const client = '172.18.0.7'
const clients = { 4: client, 6: ipv6Of(7) } as const
const entry = '172.18.0.2'
const otherNode = '172.18.0.5'
const egressIp = '172.18.0.42'

const server = `require('http').createServer((request, response) => request.url === '/big'
  ? response.end('x'.repeat(3000000)) : response.end(request.socket.remoteAddress.replace('::ffff:', '') + '\\n')).listen(8080)
const udp = require('dgram').createSocket('udp6')
udp.on('message', (_, from) => udp.send(from.address.replace('::ffff:', ''), from.port, from.address)).bind(8080)`

/** The socket is connected, so it takes only answers from the address that it asked. */
const question = `const udp = require('dgram').createSocket(process.argv[1].includes(':') ? 'udp6' : 'udp4')
udp.on('message', (answer) => { console.log(String(answer)); udp.close() })
udp.connect(Number(process.argv[2]), process.argv[1], () => udp.send('?'))
setTimeout(() => process.exit(1), 2000).unref()`

/** As a URL has it. */
const host = (address: string): string => (address.includes(':') ? `[${address}]` : address)
const quoted = (program: string): string => `${process.execPath} -e "${program.replaceAll('"', '\\"')}"`

const places = ['near', 'far', 'this-node', 'another-node'] as const
type Place = (typeof places)[number]

/** Of each Service: the last part of its addresses, and of its node port. */
const numbers = { near: 1, far: 2, 'this-node': 3, 'another-node': 4, local: 5, admitting: 6, empty: 7, shared: 8, outside: 9 } as const // biome-ignore format: one row
type Name = keyof typeof numbers

type Family = 4 | 6

/** Where clients outside call a Service. `kind-worker` is their way to external addresses. */
const addressesOf = (name: Name, family: Family = 4) => ({
  'a node port': { address: family === 4 ? entry : ipv6Of(2), port: 30080 + numbers[name] },
  'an external IP': { address: `${externalPrefixes[family][0]}${numbers[name]}`, port: 80 },
  'a load balancer': { address: `${externalPrefixes[family][1]}${numbers[name]}`, port: 80 },
})
const externalPrefixes = {
  4: ['198.51.100.', '203.0.113.'],
  6: ['2001:db8:51::', '2001:db8:113::'],
} as const

interface Endpoint {
  readonly 4?: string
  readonly 6?: string
}

const service = (name: Name, endpoint: Endpoint, more: object = {}, port = 8080): string => {
  const nodePort = 30080 + numbers[name]
  const ports = ['TCP', 'UDP'].map((protocol) => ({ name: protocol.toLowerCase(), port: 80, nodePort, protocol })) // biome-ignore format: one row
  const externalIPs = ([4, 6] as const).map((family) => addressesOf(name, family)['an external IP'].address)
  const spec = {
    type: 'LoadBalancer',
    clusterIP: `10.96.8.${numbers[name]}`,
    clusterIPs: [`10.96.8.${numbers[name]}`, `fd00:10:96::8:${numbers[name]}`],
    ipFamilies: ['IPv4', 'IPv6'],
    externalIPs: name === 'shared' ? [egressIp] : externalIPs,
    ports,
    ...more,
  }
  const slices = ([4, 6] as const).map((family) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-${family}`, labels: { 'kubernetes.io/service-name': name } },
    addressType: `IPv${family}`,
    ports: ['TCP', 'UDP'].map((protocol) => ({ name: protocol.toLowerCase(), port, protocol })),
    endpoints: endpoint[family] === undefined ? [] : [{ addresses: [endpoint[family]] }],
  }))
  const own = { apiVersion: 'v1', kind: 'Service', metadata: { name }, spec }
  return [own, ...slices].map((each) => JSON.stringify(each)).join('\n---\n')
}

describe('a client outside, stand-alone without kube-proxy', {
  skip: cannotRun,
  timeout: hangTimeoutMs,
}, () => {
  const lab = labFor('test-services-outside', {
    nodes: dualStack(someNodes('kind-worker', 'kind-worker2', 'kind-worker3')),
    story: {
      until: 'the policy',
      settings: ['kubeProxyReplacement=strict', 'stackCIDRs={10.96.0.0/12,fd00:10:96::/108}'],
    },
  })
  const run = (command: string): Promise<string> => type(lab.state(), command)
  const outside = (command: string): Promise<string> => run(`docker exec remote-outpost ${command}`)
  const call = (address: string, port: number, path = ''): Promise<string> =>
    outside(`sh -c 'curl -s --max-time 3 http://${host(address)}:${port}/${path} || echo failed: $?'`)
  const ask = (address: string, port: number): Promise<string> =>
    outside(`${quoted(question)} ${address} ${port}`)
  const addressOf = (pod: string): Promise<string> =>
    run(`kubectl get pod ${pod} -o jsonpath={.status.podIP}`)
  /** A pod that uses its node's network reports one address. */
  async function endpointOf(pod: string): Promise<Endpoint> {
    const [ipv4 = '', ipv6] = (await run(`kubectl get pod ${pod} -o jsonpath={.status.podIPs[*].ip}`)).split(
      ' ',
    )
    return { 4: ipv4, 6: ipv6 ?? ipv6Of(Number(ipv4.split('.')[3])) }
  }

  async function serve(name: Place, nodeName: string, spec: object = {}): Promise<void> {
    const overrides = JSON.stringify({ spec: { nodeName, ...spec } })
    await run(`kubectl run ${name} --image busybox --overrides '${overrides}' --command -- ${quoted(server)}`)
  }

  test('pods that serve are started, each behind a Service with a node port, an external IP and a load balancer', async () => {
    await serve('near', 'kind-worker')
    await serve('far', 'kind-worker2')
    await serve('this-node', 'kind-worker', { hostNetwork: true })
    await serve('another-node', 'kind-worker2', { hostNetwork: true })
    await run(`kubectl wait --for=condition=Ready ${places.map((each) => `pod/${each}`).join(' ')} --timeout=60s`)
    const near = { 4: await addressOf('near') }
    const objects = [
      ...(await Promise.all(places.map(async (each) => service(each, await endpointOf(each))))),
      service('local', near, { externalTrafficPolicy: 'Local', healthCheckNodePort: 32123 }),
      service('admitting', near, { loadBalancerSourceRanges: ['192.0.2.0/24'] }),
      service('empty', {}),
      service('shared', near),
      service('outside', clients, {}, 8000),
    ]
    await run(`kubectl apply -f - <<'END'\n${objects.join('\n---\n')}\nEND`)
    for (const name of Object.keys(numbers) as Name[]) {
      const ingress = ([4, 6] as const).map((family) => ({ ip: addressesOf(name, family)['a load balancer'].address })) // biome-ignore format: one row
      const status = JSON.stringify({ status: { loadBalancer: { ingress } } })
      await run(`kubectl patch service ${name} --subresource=status --type=merge -p '${status}'`)
    }
    for (const range of ['198.51.100.0/24', '203.0.113.0/24'])
      await outside(`ip route add ${range} via ${entry}`)
    for (const range of ['2001:db8:51::/64', '2001:db8:113::/64'])
      await outside(`ip -6 route add ${range} via ${ipv6Of(2)}`)
    await eventually('the agents know the Services', async () =>
      (await call(addressesOf('shared')['a load balancer'].address, 80)).includes(client),
    )
  }) // biome-ignore format: short

  for (const family of [4, 6] as const)
    for (const place of places)
      for (const kind of ['a node port', 'an external IP', 'a load balancer'] as const) {
        const { address, port } = addressesOf(place, family)[kind]

        test(`it reaches the endpoint ${place} by ${kind} over IPv${family} with TCP, and the endpoint sees the client's address`, async () => {
          assert.equal(await call(address, port), clients[family])
        })

        test(`it reaches the endpoint ${place} by ${kind} over IPv${family} with UDP, and the answer comes from there`, async () => {
          assert.equal(await ask(address, port), clients[family])
        })
      }

  test('it gets large answers through the tunnel', async () => {
    for (const place of places) {
      const { address, port } = addressesOf(place)['a node port']
      const size = await outside(`sh -c 'curl -s --max-time 20 http://${address}:${port}/big | wc -c'`)
      assert.equal(size.trim(), '3000000', place)
    }
  })

  test('many connections one after another all succeed', async () => {
    const { address, port } = addressesOf('far')['a node port']
    const answers = await outside(
      `sh -c 'for i in $(seq 50); do curl -s --max-time 3 http://${address}:${port} || echo failed; done' | sort | uniq -c`,
    )
    assert.equal(answers.trim(), `50 ${client}`)
  })

  test('with externalTrafficPolicy Local only the node of the endpoint answers, and its health check says so', async () => {
    const { port } = addressesOf('local')['a node port']
    assert.equal(await call(entry, port), client)
    assert.equal(await ask(entry, port), client)
    assert.equal(await call(otherNode, port), 'failed: 28')
    const check = (node: string) =>
      outside(`curl -s -o /dev/null -w %{http_code} --max-time 3 http://${node}:32123/healthz`)
    assert.deepEqual([await check(entry), await check(otherNode)], ['200', '503'])
  })

  test('a load balancer does not admit a client outside its source ranges, and a node port does', async () => {
    assert.equal(await call(addressesOf('admitting')['a load balancer'].address, 80), 'failed: 28')
    assert.equal(await call(entry, addressesOf('admitting')['a node port'].port), client)
  })

  test('a Service without endpoints refuses at once', async () => {
    for (const { address, port } of Object.values(addressesOf('empty')))
      assert.equal(await call(address, port), 'failed: 7')
  })

  for (const [kind, { address, port }] of Object.entries(addressesOf('outside')))
    test(`it reaches a server outside the cluster by ${kind}, and the server sees the entry node`, async () => {
      for (let calls = 0; calls < 5; calls++)
        assert.match(await call(address, port), new RegExp(`\\(${entry}\\)`))
    })

  test('one address serves a Service and is the egress IP of a pod', async () => {
    assert.equal(await call(egressIp, 80), client)
    assert.match(await run(`kubectl exec xwing -- ${curlOutpost}`), /172\.18\.0\.42/)
    assert.equal(await call(egressIp, 80), client)
  })

  test('a pod reaches node ports of its own node and of others', async () => {
    const { port } = addressesOf('far')['a node port']
    for (const node of [entry, otherNode])
      assert.equal(
        await run(`kubectl exec xwing -- curl -s --max-time 3 http://${node}:${port}`),
        await addressOf('xwing'),
      )
  })

  test('service list shows the node ports', async () => {
    const list = 'kubectl -n kube-system exec ds/cilium -- sallyport service list'
    assert.match(await run(list), /0\.0\.0\.0:30081\/TCP +NodePort/)
  }) // biome-ignore format: short
})
