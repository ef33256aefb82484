import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { cannotRun, curlOutpost, eventually, hangTimeoutMs, labFor, type } from './lab-under-test.ts'
import { someNodes } from './story.ts'

/*
 * Stand-alone beside kube-proxy. Its rules are played by nftables rules of the same shape on each node: destinations are
 * translated in prerouting and output, what is marked is masqueraded, and what conntrack cannot place is dropped.
 */

const service = { name: '10.96.7.1', port: 80 } as const
const outside = '10.96.7.2'
const node = '10.96.7.3'
const nodePort = 30080

const server = `const body = (socket) => socket.remoteAddress.replace('::ffff:', '') + '\\n'
require('http').createServer((request, response) => response.end(body(request.socket))).listen(Number(process.argv[1]))
const udp = require('dgram').createSocket('udp4')
udp.on('message', (_, from) => udp.send(from.address, from.port, from.address)).bind(Number(process.argv[1]))`

const client = `const udp = require('dgram').createSocket('udp4')
udp.on('message', (answer) => { console.log(String(answer)); udp.close() })
udp.send('?', ${service.port}, process.argv[1])
setTimeout(() => process.exit(1), 2000).unref()`

/** As kube-proxy has them for a Service with this one endpoint. */
function rules(endpoint: string): string {
  const translations = [
    `ip daddr ${service.name} meta l4proto { tcp, udp } th dport ${service.port} ip saddr ${endpoint} meta mark set mark or 0x4000`,
    `ip daddr ${service.name} meta l4proto tcp tcp dport ${service.port} dnat to ${endpoint}:8080`,
    `ip daddr ${service.name} meta l4proto udp udp dport ${service.port} dnat to ${endpoint}:8080`,
    `ip daddr ${outside} tcp dport 80 dnat to 172.18.0.7:8000`,
    `ip daddr ${node} tcp dport 80 dnat to 172.18.0.5:8080`,
    `fib daddr type local tcp dport ${nodePort} meta mark set mark or 0x4000 dnat to ${endpoint}:8080`,
  ]
  const nat = (hook: string): string =>
    `chain ${hook} { type nat hook ${hook} priority -100;\n${translations.join('\n')}\n}`
  return `table ip kube-proxy
delete table ip kube-proxy
table ip kube-proxy {
${nat('prerouting')}
${nat('output')}
chain postrouting { type nat hook postrouting priority 100; meta mark and 0x4000 == 0x4000 masquerade fully-random; }
chain forward { type filter hook forward priority 0; ct state invalid drop; }
}`
}

describe('stand-alone beside kube-proxy', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-services', {
    nodes: someNodes('kind-worker', 'kind-worker2', 'kind-worker3'),
    story: { until: 'the policy' },
  })
  const run = (command: string): Promise<string> => type(lab.state(), command)
  const addressOf = (pod: string): Promise<string> =>
    run(`kubectl get pod ${pod} -o jsonpath={.status.podIP}`)
  const call = (pod: string, url: string): Promise<string> =>
    run(`kubectl exec ${pod} -- curl -s --max-time 3 http://${url}`)

  async function serve(name: string, host: string, spec: object = {}): Promise<void> {
    const overrides = JSON.stringify({ spec: { nodeName: host, ...spec } })
    await run(
      `kubectl run ${name} --image busybox --overrides '${overrides}' --command -- ${process.execPath} -e "${server.replaceAll('"', '\\"')}" 8080`,
    )
  }

  async function publish(pod: string): Promise<string> {
    const endpoint = await addressOf(pod)
    for (const { name } of lab.state().nodes)
      await run(`docker exec ${name} nft -f - <<'END'\n${rules(endpoint)}\nEND`)
    return endpoint
  }

  test('pods that serve are started', async () => {
    await serve('near', 'kind-worker')
    await serve('far', 'kind-worker2')
    await serve('on-node', 'kind-worker2', { hostNetwork: true })
    await run('kubectl wait --for=condition=Ready pod/near pod/far pod/on-node --timeout=60s')
  })

  for (const endpoint of ['near', 'far'])
    describe(`the endpoint is ${endpoint === 'near' ? "a pod of the client's node" : 'a pod of another node'}`, () => {
      test('TCP: the endpoint sees the address of the pod that calls', async () => {
        await publish(endpoint)
        assert.equal(await call('xwing', service.name), await addressOf('xwing'))
      })

      test('UDP: the answer comes from the address of the Service', async () => {
        const answer = await run(
          `kubectl exec xwing -- ${process.execPath} -e "${client.replaceAll('"', '\\"')}" ${service.name}`,
        )
        assert.equal(answer, await addressOf('xwing'))
      })

      test('a pod reaches itself by its own Service', async () => {
        assert.match(await call(endpoint, service.name), /^1\d+\./)
      })

      test("a process of a node reaches it, and a pod by the node's port", async () => {
        assert.match(
          await run(`docker exec kind-worker curl -s --max-time 3 http://${service.name}`),
          /^1\d+\./,
        )
        for (const address of ['172.18.0.2', '172.18.0.5'])
          assert.match(await call('xwing', `${address}:${nodePort}`), /^1\d+\./, address)
      })

      test('many connections one after another all succeed', async () => {
        const answers = await run(
          `kubectl exec xwing -- sh -c 'for i in $(seq 30); do curl -s --max-time 3 http://${service.name} || echo failed; done' | sort | uniq -c`,
        )
        assert.equal(answers.trim(), `30 ${await addressOf('xwing')}`)
      })
    })

  test('an endpoint on a node gets the pod’s own address', async () => {
    assert.equal(await call('xwing', node), await addressOf('xwing'))
  })

  test('a selected pod leaves by the egress IP through a Service whose endpoint is outside, too', async () => {
    for (let calls = 0; calls < 5; calls++) assert.match(await call('xwing', outside), /172\.18\.0\.42/)
    assert.match(await run(`kubectl exec xwing -- ${curlOutpost}`), /172\.18\.0\.42/)
  })

  test('a pod that no policy selects leaves by its node', async () => {
    assert.match(
      await run(`kubectl exec tiefighter -- curl -s --max-time 3 http://${outside} || true`),
      /172\.18\.0\.5/,
    )
  })

  test('pods call each other as before', async () => {
    for (const pod of ['near', 'far'])
      assert.equal(await call('xwing', `${await addressOf(pod)}:8080`), await addressOf('xwing'))
  })

  test('without a gateway a Service is no way out', async () => {
    await run('kubectl label node kind-worker3 egress-gw-')
    try {
      await eventually('the packet is dropped', async () =>
        (await run(`kubectl exec xwing -- curl -s --max-time 1 http://${outside} || echo refused`)).includes(
          'refused',
        ),
      )
    } finally {
      await run('kubectl label node kind-worker3 egress-gw=true')
    }
  })
})
