import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { dualStack, ipv6Of } from '../../src/lab/layout.ts'
import { compileHold } from '../support/hold-program.ts'
import { holdThroughDeath, holdThroughServices } from './held-through-services.ts'
import { cannotRun, curlOutpost, eventually, hangTimeoutMs, labFor, type } from './lab-under-test.ts'
import { someNodes } from './story.ts'

/* Stand-alone without kube-proxy: Sallyport translates Services. */

/** `make test-all` holds 10,000; what breaks one connection shows with fewer, too. */
const connections = Number(process.env.SALLYPORT_TEST_CONNECTIONS ?? 500)
const heldSeconds = 45
const deathSeconds = 20

const server = `const body = (socket) => socket.remoteAddress.replace('::ffff:', '') + '\\n'
require('http').createServer((request, response) => response.end(request.url === '/big' ? 'x'.repeat(3000000) : body(request.socket))).listen(Number(process.argv[1]))
const udp = require('dgram').createSocket('udp6')
const caller = (from) => from.address.replace('::ffff:', '')
udp.on('message', (_, from) => udp.send(caller(from), from.port, from.address)).bind(Number(process.argv[1]))`

/** The socket is connected, so it takes only answers from the Service. */
const client = `const udp = require('dgram').createSocket(process.argv[1].includes(':') ? 'udp6' : 'udp4')
udp.on('message', (answer) => { console.log(String(answer)); udp.close() })
udp.connect(Number(process.argv[2]), process.argv[1], () => udp.send('?'))
setTimeout(() => process.exit(1), 2000).unref()`

const quoted = (program: string): string => `${process.execPath} -e "${program.replaceAll('"', '\\"')}"`

interface Endpoint {
  readonly ipv4?: string
  readonly ipv6?: string
}

/** A Service of both families, and where its endpoint listens. */
const service = (name: Name, endpoint: Endpoint, port = 8080): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec:
  type: LoadBalancer
  externalIPs: ['${outerAddress(name, 'an external IP', 4)}', '${outerAddress(name, 'an external IP', 6)}']
  clusterIP: ${clusterIp(name, 4)}
  clusterIPs: ['${clusterIp(name, 4)}', '${clusterIp(name, 6)}']
  ipFamilies: [IPv4, IPv6]
  ports: [{name: web, port: 80, nodePort: ${nodePort(name)}}, {name: question, port: 80, nodePort: ${nodePort(name)}, protocol: UDP}]
${slice(name, 'IPv4', endpoint.ipv4, port)}${slice(name, 'IPv6', endpoint.ipv6, port)}---`

const slice = (
  name: Name,
  family: 'IPv4' | 'IPv6',
  endpoint: string | undefined,
  port: number,
): string => `---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${name}-${family.toLowerCase()}, labels: {kubernetes.io/service-name: ${name}}}
addressType: ${family}
ports: [{name: web, port: ${port}, protocol: TCP}, {name: question, port: ${port}, protocol: UDP}]
endpoints: [${endpoint === undefined ? '' : `{addresses: ['${endpoint}']}`}]
`

const inside = ['near', 'far', 'this-node', 'another-node'] as const
const names = [...inside, 'outside', 'empty'] as const
type Name = (typeof names)[number]
type Family = 4 | 6
const clusterIp = (name: Name, family: Family): string =>
  `${family === 4 ? '10.96.7.' : 'fd00:10:96::7:'}${names.indexOf(name) + 1}`
const nodePort = (name: Name): number => 30081 + names.indexOf(name)

/** Where clients outside the cluster reach a Service, too. External IPs are behind a router. No host answers for a load balancer's on the link. */
const outer = {
  'an external IP': { 4: '198.51.100.', 6: '2001:db8:51::' },
  'the address of a load balancer': { 4: '172.18.200.', 6: 'fc00:f853:ccd:e793::200:' },
} as const
type Outer = keyof typeof outer
const outerAddress = (name: Name, kind: Outer, family: Family): string =>
  `${outer[kind][family]}${names.indexOf(name) + 1}`
/** As a URL has it. */
const host = (address: string): string => (address.includes(':') ? `[${address}]` : address)

/** From which address the processes of kind-worker speak to Services. */
const nodeClient = { 4: '10.244.2.1', 6: 'fd00:10:244:2::1' } as const
const nodeAddress = { 4: '172.18.0.2', 6: ipv6Of(2) } as const
const otherNode = { 4: '172.18.0.5', 6: ipv6Of(5) } as const
/** What a process of kind-worker sees as the client that is a process of kind-worker, too. */
const turned = { 4: '10.244.2.0', 6: 'fd00:10:244:2::' } as const

const doors = {
  'a node port of its own node': (name: Name, family: Family) =>
    [nodeAddress[family], nodePort(name)] as const,
  'a node port of another node': (name: Name, family: Family) => [otherNode[family], nodePort(name)] as const,
  'an external IP': (name: Name, family: Family) =>
    [outerAddress(name, 'an external IP', family), 80] as const,
  'the address of a load balancer': (name: Name, family: Family) =>
    [outerAddress(name, 'the address of a load balancer', family), 80] as const,
}

describe('stand-alone without kube-proxy', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-proxyless', {
    nodes: dualStack(someNodes('kind-worker', 'kind-worker2', 'kind-worker3', 'kind-worker4')),
    story: {
      until: 'the policy',
      settings: ['kubeProxyReplacement=strict', 'stackCIDRs={10.96.0.0/12,fd00:10:96::/108}'],
    },
  })
  const run = (command: string): Promise<string> => type(lab.state(), command)
  /** Of a pod, or of the node of one that uses its node's network. */
  async function addressesOf(pod: string): Promise<{ readonly 4: string; readonly 6: string }> {
    const [ipv4 = '', ipv6] = (await run(`kubectl get pod ${pod} -o jsonpath={.status.podIPs[*].ip}`)).split(
      ' ',
    )
    return { 4: ipv4, 6: ipv6 ?? ipv6Of(Number(ipv4.split('.')[3])) }
  }
  const inPod =
    (pod: string) =>
    (command: string): Promise<string> =>
      run(`kubectl exec ${pod} -- ${command}`)
  const onNode = (command: string): Promise<string> => run(`docker exec kind-worker ${command}`)
  type Run = typeof onNode
  const call = (from: Run, address: string, port = 80, more = ''): Promise<string> =>
    from(`curl -s --max-time 3 ${more} http://${host(address)}:${port}`)
  const ask = (from: Run, address: string, port = 80): Promise<string> =>
    from(`${quoted(client)} ${address} ${port}`)

  async function serve(name: string, node: string, spec: object = {}): Promise<void> {
    const overrides = JSON.stringify({ spec: { nodeName: node, ...spec } })
    await run(
      `kubectl run ${name} --image busybox --overrides '${overrides}' --command -- ${quoted(server)} 8080`,
    )
  }

  test('pods that serve are started, each behind a Service', async () => {
    await serve('near', 'kind-worker')
    await serve('far', 'kind-worker2')
    await serve('this-node', 'kind-worker', { hostNetwork: true })
    await serve('another-node', 'kind-worker2', { hostNetwork: true })
    await run('kubectl wait --for=condition=Ready pod/near pod/far pod/this-node pod/another-node --timeout=60s') // biome-ignore format: one command
    const endpoints = await Promise.all(inside.map(addressesOf))
    const objects = [
      ...inside.map((name, index) => service(name, { ipv4: endpoints[index]?.[4] ?? '', ipv6: endpoints[index]?.[6] ?? '' })),
      service('outside', { ipv4: '172.18.0.7', ipv6: ipv6Of(7) }, 8000),
      service('empty', {}),
    ] // biome-ignore format: a Service a row
    await run(`kubectl apply -f - <<'END'\n${objects.join('\n')}\nEND`)
    for (const name of names) {
      const ingress = ([4, 6] as const).map((family) => ({
        ip: outerAddress(name, 'the address of a load balancer', family),
      }))
      await run(
        `kubectl patch service ${name} --subresource=status --type=merge -p '${JSON.stringify({ status: { loadBalancer: { ingress } } })}'`,
      )
    }
    await onNode(`ip -6 route add ${outer['an external IP'][6]}/64 via ${ipv6Of(7)}`)
    await eventually('the agents know the Services', async () =>
      (await inPod('xwing')(`curl -s --max-time 1 http://${clusterIp('near', 4)} || true`)).includes('.'),
    )
  })

  for (const family of [4, 6] as const)
    for (const place of inside) {
      const address = clusterIp(place, family)
      test(`a pod reaches the endpoint ${place} over IPv${family} with TCP and UDP, and the endpoint sees the pod's own address`, async () => {
        const from = inPod('xwing')
        await eventually('it answers', async () =>
          /\d/.test(await from(`sh -c 'curl -s --max-time 1 http://${host(address)} || true'`)),
        )
        const own = (await addressesOf('xwing'))[family]
        assert.equal(await call(from, address), own)
        assert.equal(await ask(from, address), own, 'the socket is connected to the Service')
      })

      const seen = place === 'this-node' ? turned[family] : nodeClient[family]
      test(`a process of the node reaches the endpoint ${place} over IPv${family} with TCP and UDP, and the endpoint sees ${seen}`, async () => {
        assert.equal(await call(onNode, address), seen)
        assert.equal(await ask(onNode, address), seen, 'the socket is connected to the Service')
      })
    }

  for (const [door, open] of Object.entries(doors))
    for (const family of [4, 6] as const)
      for (const place of [...inside, 'outside'] as const) {
        const seen = place === 'this-node' ? turned[family] : nodeClient[family]
        test(`a process of the node reaches the endpoint ${place} over IPv${family} by ${door}`, async () => {
          const [address, port] = open(place, family)
          const answer = await call(onNode, address, port)
          if (place === 'outside') return assert.match(answer, new RegExp(`\\(${nodeAddress[family]}\\)`))
          assert.equal(answer, seen, 'TCP')
          assert.equal(await ask(onNode, address, port), seen, 'UDP: the socket is connected to the Service')
        })
      }

  for (const family of [4, 6] as const)
    test(`a process of the node reaches a server outside by a Service over IPv${family}, with the node’s address`, async () => {
      assert.match(await call(onNode, clusterIp('outside', family)), new RegExp(`\\(${nodeAddress[family]}\\)`))
    }) // biome-ignore format: one row

  test('other ports of an address that a Service has are not the Service’s', async () => {
    for (const [address] of [
      doors['a node port of another node']('near', 4),
      doors['an external IP']('near', 6),
    ])
      assert.match(await onNode(`ip route get ${address}`), /dev eth0/)
    assert.equal(await onNode(`sh -c 'curl -s --max-time 3 http://${otherNode[4]}:81; echo $?'`), '7')
  })

  test('a process that is bound to an address of the node reaches Services', async () => {
    const bound = `--interface ${nodeAddress[4]}`
    for (const open of Object.values(doors))
      assert.equal(await call(onNode, ...open('far', 4), bound), nodeClient[4])
    assert.equal(await call(onNode, clusterIp('far', 4), 80, bound), nodeClient[4])
  })

  test('a process of the node gets large answers by each address', async () => {
    for (const place of inside)
      for (const open of Object.values(doors)) {
        const [address, port] = open(place, 4)
        const size = await onNode(`sh -c 'curl -s --max-time 20 http://${address}:${port}/big | wc -c'`)
        assert.equal(size.trim(), '3000000', `${place} ${address}`)
      }
  })

  test('a pod reaches itself by its own Service, with TCP and UDP', async () => {
    for (const family of [4, 6] as const) {
      const address = clusterIp('near', family)
      assert.equal(await call(inPod('near'), address), address)
      assert.equal(await ask(inPod('near'), address), address)
    }
  })

  test('a selected pod leaves by the egress IP through a Service whose endpoint is outside', async () => {
    for (let calls = 0; calls < 5; calls++)
      assert.match(await call(inPod('xwing'), clusterIp('outside', 4)), /172\.18\.0\.42/)
    assert.match(await run(`kubectl exec xwing -- ${curlOutpost}`), /172\.18\.0\.42/)
  })

  test('a Service without endpoints refuses at once, and so does a port that a Service does not have', async () => {
    for (const from of [inPod('xwing'), onNode])
      for (const family of [4, 6] as const)
        for (const url of [host(clusterIp('empty', family)), `${host(clusterIp('near', family))}:81`])
          assert.equal(await from(`sh -c 'curl -s --max-time 3 http://${url}; echo $?'`), '7')
  })

  test('many connections one after another all succeed', async () => {
    const many = `sh -c 'for i in $(seq 50); do curl -s --max-time 3 http://${clusterIp('far', 4)} || echo failed; done' | sort | uniq -c`
    assert.equal((await inPod('xwing')(many)).trim(), `50 ${(await addressesOf('xwing'))[4]}`)
    assert.equal((await onNode(many)).trim(), `50 ${nodeClient[4]}`)
  })

  test(`${connections} open connections survive a restart of both nodes' agents, and endpoints that come and go`, async (t) => {
    compileHold()
    const plan = { connections, seconds: heldSeconds }
    const { held, taken, sources } = await holdThroughServices(lab.state(), 'xwing', plan)
    t.diagnostic(JSON.stringify({ ...held, taken }))
    const { notOpened, broken, newFlowsFailed } = held
    assert.deepEqual([held.connections, notOpened, broken, newFlowsFailed], [connections, 0, 0, 0])
    assert.ok(held.newFlows > 1000, `${held.newFlows} new ones meanwhile`)
    assert.deepEqual([...sources], [(await addressesOf('xwing'))[4]], 'endpoints see the pod')
    for (const count of [taken['held-near'], taken['held-far']])
      assert.ok(count > connections / 3, 'both endpoints have their share')
  })

  /* The last test, because the gateway does not come back. */
  test(`${connections} open connections through a Service that leads outside survive the death of their gateway`, async (t) => {
    const plan = { connections, seconds: deathSeconds }
    const { held, sources } = await holdThroughDeath(lab.state(), { pod: 'xwing', gateway: 'kind-worker3' }, plan) // biome-ignore format: one line
    t.diagnostic(JSON.stringify({ ...held, sources }))
    const { notOpened, broken, newFlowsFailed } = held
    assert.deepEqual([held.connections, notOpened, broken, newFlowsFailed], [connections, 0, 0, 0])
    assert.ok(held.newFlows > 1000, `${held.newFlows} new ones meanwhile`)
    const { '172.18.0.42': egressed = 0, ...others } = sources
    assert.deepEqual(others, {}, 'no connection came from another address')
    assert.ok(egressed >= connections)
    const addresses = await run('docker exec kind-worker4 ip -o -4 address')
    assert.match(addresses, /172\.18\.0\.42/, 'the other gateway answers for the egress IP')
  })
})
