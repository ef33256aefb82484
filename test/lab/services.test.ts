import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { cannotRun, curlOutpost, eventually, hangTimeoutMs, labFor, type } from './lab-under-test.ts'
import { someNodes } from './story.ts'

/* Stand-alone without kube-proxy: Sallyport translates Services. */

const server = `const body = (socket) => socket.remoteAddress.replace('::ffff:', '') + '\\n'
require('http').createServer((request, response) => response.end(body(request.socket))).listen(Number(process.argv[1]))
const udp = require('dgram').createSocket('udp4')
udp.on('message', (_, from) => udp.send(from.address, from.port, from.address)).bind(Number(process.argv[1]))`

/** The socket is connected, so it takes only answers from the Service. */
const client = `const udp = require('dgram').createSocket('udp4')
udp.on('message', (answer) => { console.log(String(answer)); udp.close() })
udp.connect(80, process.argv[1], () => udp.send('?'))
setTimeout(() => process.exit(1), 2000).unref()`

const quoted = (program: string): string => `${process.execPath} -e "${program.replaceAll('"', '\\"')}"`

/** A Service of the cluster IP, and where its endpoint listens. */
const service = (name: string, clusterIP: string, endpoint: string, port = 8080): string => `
apiVersion: v1
kind: Service
metadata: {name: ${name}}
spec: {clusterIP: ${clusterIP}, ports: [{name: web, port: 80}, {name: question, port: 80, protocol: UDP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: ${name}-1, labels: {kubernetes.io/service-name: ${name}}}
addressType: IPv4
ports: [{name: web, port: ${port}, protocol: TCP}, {name: question, port: ${port}, protocol: UDP}]
endpoints: [${endpoint === '' ? '' : `{addresses: [${endpoint}]}`}]
---`

const addresses = {
  near: '10.96.7.1',
  far: '10.96.7.2',
  'this-node': '10.96.7.3',
  'another-node': '10.96.7.4',
  outside: '10.96.7.5',
  empty: '10.96.7.6',
} as const

describe('stand-alone without kube-proxy', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-proxyless', {
    nodes: someNodes('kind-worker', 'kind-worker2', 'kind-worker3'),
    story: { until: 'the policy', settings: ['kubeProxyReplacement=strict'] },
  })
  const run = (command: string): Promise<string> => type(lab.state(), command)
  const addressOf = (pod: string): Promise<string> =>
    run(`kubectl get pod ${pod} -o jsonpath={.status.podIP}`)
  const call = (pod: string, url: string): Promise<string> =>
    run(`kubectl exec ${pod} -- curl -s --max-time 3 http://${url}`)
  const ask = (pod: string, address: string): Promise<string> =>
    run(`kubectl exec ${pod} -- ${quoted(client)} ${address}`)

  async function serve(name: string, host: string, spec: object = {}): Promise<void> {
    const overrides = JSON.stringify({ spec: { nodeName: host, ...spec } })
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
    const inside = ['near', 'far', 'this-node', 'another-node'] as const
    const endpoints = await Promise.all(inside.map(addressOf))
    const objects = [
      ...inside.map((name, index) => service(name, addresses[name], endpoints[index] ?? '')),
      service('outside', addresses.outside, '172.18.0.7', 8000),
      service('empty', addresses.empty, ''),
    ]
    await run(`kubectl apply -f - <<'END'\n${objects.join('\n')}\nEND`)
    await eventually('the agents know the Services', async () =>
      (await run(`kubectl exec xwing -- curl -s --max-time 1 http://${addresses.near} || true`)).includes(
        '.',
      ),
    )
  })

  for (const place of ['near', 'far', 'this-node', 'another-node'] as const) {
    test(`a pod reaches the endpoint ${place} with TCP, and the endpoint sees the pod's own address`, async () => {
      await eventually('it answers', async () => (await call('xwing', `${addresses[place]} || true`)) !== '')
      assert.equal(await call('xwing', addresses[place]), await addressOf('xwing'))
    })

    test(`a pod reaches the endpoint ${place} with UDP, and the answer comes from the Service`, async () => {
      assert.equal(await ask('xwing', addresses[place]), await addressOf('xwing'))
    })
  }

  test('a pod reaches itself by its own Service, with TCP and UDP', async () => {
    assert.equal(await call('near', addresses.near), addresses.near)
    assert.equal(await ask('near', addresses.near), addresses.near)
  })

  test('a selected pod leaves by the egress IP through a Service whose endpoint is outside', async () => {
    for (let calls = 0; calls < 5; calls++)
      assert.match(await call('xwing', addresses.outside), /172\.18\.0\.42/)
    assert.match(await run(`kubectl exec xwing -- ${curlOutpost}`), /172\.18\.0\.42/)
  })

  test('a Service without endpoints refuses at once, and so does a port that a Service does not have', async () => {
    for (const url of [addresses.empty, `${addresses.near}:81`])
      assert.equal(
        await run(`kubectl exec xwing -- sh -c 'curl -s --max-time 3 http://${url}; echo $?'`),
        '7',
      )
  })

  test('many connections one after another all succeed', async () => {
    const answers = await run(
      `kubectl exec xwing -- sh -c 'for i in $(seq 50); do curl -s --max-time 3 http://${addresses.far} || echo failed; done' | sort | uniq -c`,
    )
    assert.equal(answers.trim(), `50 ${await addressOf('xwing')}`)
  })
})
