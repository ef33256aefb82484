import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, describe, test } from 'node:test'
import { WebSocketServer } from 'ws'
import { renderCrds } from '../../api/crd.ts'
import { kubectlMissing, type ServerUnderTest, startServer } from './server-under-test.ts'

const policy = (name: string, spec: object): string =>
  JSON.stringify({ apiVersion: 'cilium.io/v2', kind: 'CiliumEgressGatewayPolicy', metadata: { name }, spec })

const good = {
  selectors: [{ podSelector: { matchLabels: { org: 'alliance' } } }],
  destinationCIDRs: ['172.18.0.0/16'],
  egressGateway: { nodeSelector: { matchLabels: { 'egress-gw': 'true' } }, interface: 'net0' },
}

const node = (name: string): string => JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name } })

/** What the real kubectl asks of an API server. */
describe('kubectl', { skip: kubectlMissing(), timeout: 120_000 }, () => {
  let server: ServerUnderTest
  const run = (words: string, input?: string, user?: string): string => {
    const { code, output } = server.kubectl(words.split(' '), input, user)
    assert.equal(code, 0, `kubectl ${words}\n${output}`)
    return output
  }
  const fails = (words: string, input?: string, user?: string): string => {
    const { code, output } = server.kubectl(words.split(' '), input, user)
    assert.notEqual(code, 0, `kubectl ${words} should fail\n${output}`)
    return output
  }

  before(async () => {
    server = await startServer()
    run(
      'apply -f -',
      renderCrds()
        .map((crd) => JSON.stringify(crd))
        .join('\n'),
    )
  })
  after(() => server[Symbol.asyncDispose]())

  test('lists what is there, and says where nothing is', () => {
    assert.match(run('get ns'), /^NAME\s+STATUS\s+AGE\ndefault\s+Active/)
    assert.match(run('get pods'), /No resources found in default namespace/)
    assert.match(fails('get nonsense'), /the server doesn't have a resource type "nonsense"/)
    assert.match(fails('get pod missing'), /\(NotFound\): pods "missing" not found/)
  })

  test('taints and labels nodes, and shows labels', () => {
    run('create -f -', node('kind-worker3'))
    assert.equal(run('taint node kind-worker3 egress-gw:NoSchedule'), 'node/kind-worker3 tainted')
    assert.equal(run('label nodes kind-worker3 egress-gw=true'), 'node/kind-worker3 labeled')
    assert.match(run('get no --show-labels'), /kind-worker3 .*egress-gw=true/)
    assert.equal(run('get no -l egress-gw=true -o name'), 'node/kind-worker3')
    assert.equal(run('label node kind-worker3 egress-gw-'), 'node/kind-worker3 unlabeled')
    assert.equal(run('get no -l egress-gw -o name'), '')
    assert.equal(run('taint node kind-worker3 egress-gw:NoSchedule-'), 'node/kind-worker3 untainted')
  })

  test('runs, selects, changes and deletes pods', () => {
    assert.equal(run('run xwing --labels org=alliance --image docker.io/tgraf/netperf'), 'pod/xwing created')
    assert.match(run('get pod --show-labels'), /xwing\s+0\/1\s+Pending\s+0\s+\S+\s+org=alliance/)
    assert.equal(run('get po --field-selector status.phase=Pending -o name'), 'pod/xwing')
    assert.match(fails('get po --field-selector spec.colour=red'), /field label not supported: spec.colour/)
    assert.equal(
      run('patch pod xwing --type json -p [{"op":"add","path":"/metadata/labels/class","value":"x"}]'),
      'pod/xwing patched',
    )
    assert.equal(run('get pod xwing -o jsonpath={.metadata.labels.class}'), 'x')
    assert.equal(run('delete pod xwing'), 'pod "xwing" deleted')
    assert.equal(run('get pods -o name'), '')
  })

  test('applies a policy, and again', () => {
    const name = 'ciliumegressgatewaypolicy.cilium.io/outpost'
    assert.equal(run('apply -f -', policy('outpost', good)), `${name} created`)
    assert.equal(run('apply -f -', policy('outpost', good)), `${name} unchanged`)
    assert.equal(
      run('apply -f -', policy('outpost', { ...good, excludedCIDRs: ['172.18.9.0/24'] })),
      `${name} configured`,
    )
    assert.equal(run('get cegp outpost -o jsonpath={.metadata.generation}'), '2')
    assert.equal(run('apply -f -', policy('outpost', good)), `${name} configured`)
    assert.equal(run('get cegp outpost -o jsonpath={.spec.excludedCIDRs}'), '')
    assert.match(run('get cegp'), /^NAME\s+AGE\noutpost/)
  })

  for (const [what, spec, message] of [
    [
      'interface and egress IP',
      { egressGateway: { ...good.egressGateway, egressIP: '172.18.0.42' } },
      /gateway configuration can't specify both an interface and an egress IP/,
    ],
    ['no destination', { destinationCIDRs: [] }, /destinationCIDRs can't be empty/],
    [
      'a destination that is none',
      { destinationCIDRs: ['172.18.0.0/33'] },
      /failed to parse destination CIDR/,
    ],
    [
      'a selector of nodes alone',
      { selectors: [{ nodeSelector: {} }] },
      /cannot have both nil namespace selector and nil pod selector/,
    ],
    ['a field that nobody knows', { colour: 'red' }, /unknown field "spec.colour"/],
    [
      'destinations that are no list',
      { destinationCIDRs: 'everywhere' },
      /spec.destinationCIDRs.*must be of type array/,
    ],
  ] as const)
    test(`refuses a policy with ${what}, and says so`, () => {
      assert.match(fails('apply -f -', policy('bad', { ...good, ...spec })), message)
      assert.match(fails('get cegp bad'), /NotFound/)
    })

  test('explains every mode of azAffinity', () => {
    const text = run('explain isovalentegressgatewaypolicies.spec.azAffinity')
    for (const part of [
      'GROUP:      isovalent.com',
      'FIELD: azAffinity <string>',
      'disabled: no AZ affinity',
      'localOnlyFirst',
      'localPriority',
    ])
      assert.ok(text.includes(part), `${part} is missing in\n${text}`)
  })

  test('server-side apply tells who owns a field, and lets go of what is no longer said', () => {
    const object = (labels: object): string =>
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'shared', labels },
        data: { key: 'one' },
      })
    run('apply --server-side --field-manager=first -f -', object({ a: '1', b: '1' }))
    assert.match(
      fails('apply --server-side --field-manager=second -f -', object({ a: '2' })),
      /conflict with "first"/,
    )
    run('apply --server-side --field-manager=second --force-conflicts -f -', object({ a: '2' }))
    run('apply --server-side --field-manager=first -f -', object({}))
    assert.equal(run('get cm shared -o jsonpath={.metadata.labels}'), '{"a":"2"}')
  })

  test('waits for what is so, and for what is deleted', () => {
    run(
      'create -f -',
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'waited' },
        data: { key: 'value' },
      }),
    )
    assert.match(run('wait --for=jsonpath={.data.key}=value cm/waited --timeout=5s'), /condition met/)
    run('delete cm waited')
    assert.match(run('wait --for=delete cm/waited --timeout=5s'), /^$/)
  })

  test('a namespace takes what is in it along', () => {
    run('create -f -', '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"passing"}}')
    run('-n passing create -f -', '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"inside"}}')
    run('delete ns passing')
    assert.match(fails('-n passing get cm inside'), /NotFound/)
  })

  test('rights are honoured: what is not granted is refused, what is granted is not', () => {
    assert.match(fails('get pods', undefined, 'guest'), /User "guest" cannot list resource "pods"/)
    run(
      'apply -f -',
      [
        {
          apiVersion: 'rbac.authorization.k8s.io/v1',
          kind: 'ClusterRole',
          metadata: { name: 'reader' },
          rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }],
        },
        {
          apiVersion: 'rbac.authorization.k8s.io/v1',
          kind: 'ClusterRoleBinding',
          metadata: { name: 'reader' },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'reader' },
          subjects: [{ kind: 'User', name: 'guest', apiGroup: 'rbac.authorization.k8s.io' }],
        },
      ]
        .map((object) => JSON.stringify(object))
        .join('\n'),
    )
    assert.match(run('get pods', undefined, 'guest'), /No resources found/)
    assert.match(fails('get nodes', undefined, 'guest'), /cannot list resource "nodes"/)
  })

  test('dependents go with their owner', () => {
    run('create -f -', '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"owner"}}')
    const uid = run('get cm owner -o jsonpath={.metadata.uid}')
    run(
      'create -f -',
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: {
          name: 'owned',
          ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid }],
        },
      }),
    )
    run('delete cm owner')
    assert.match(run('wait --for=delete cm/owned --timeout=5s'), /^$/)
  })

  test('exec passes streams and exit codes through', async () => {
    const kubelet = createServer()
    const sockets = new WebSocketServer({ server: kubelet, handleProtocols: () => 'v5.channel.k8s.io' })
    sockets.on('connection', (socket, request) => {
      assert.match(request.url ?? '', /^\/exec\/default\/far\/far\?.*command=false/)
      socket.send(Buffer.concat([Buffer.from([1]), Buffer.from('said\n')]))
      const causes = [{ reason: 'ExitCode', message: '3' }]
      socket.send(
        Buffer.concat([
          Buffer.from([3]),
          Buffer.from(
            JSON.stringify({
              metadata: {},
              status: 'Failure',
              reason: 'NonZeroExitCode',
              details: { causes },
            }),
          ),
        ]),
      )
      socket.close(1000)
    })
    await new Promise<void>((resolve) => kubelet.listen(0, '127.0.0.1', resolve))
    const { port } = kubelet.address() as { port: number }
    run('create -f -', node('far-node'))
    run(
      `patch node far-node --subresource=status --type=merge -p ${JSON.stringify({ status: { addresses: [{ type: 'InternalIP', address: '127.0.0.1' }], daemonEndpoints: { kubeletEndpoint: { Port: port } } } })}`,
    )
    run(
      'create -f -',
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'far' },
        spec: { nodeName: 'far-node', containers: [{ name: 'far', image: 'x' }] },
      }),
    )
    const { spawn } = await import('node:child_process')
    const child = spawn('kubectl', ['exec', 'far', '--', 'false'], {
      env: {
        PATH: process.env.PATH,
        HOME: server.directory,
        KUBECONFIG: `${server.directory}/admin.kubeconfig`,
      },
    })
    let output = ''
    child.stdout.on('data', (data) => (output += data))
    const code = await new Promise((resolve) => child.on('close', resolve))
    kubelet.close()
    sockets.close()
    assert.equal(output, 'said\n')
    assert.equal(code, 3)
  })

  test('killed and started again, it has lost nothing that it had acknowledged', async () => {
    run(
      'create -f -',
      '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"kept"},"data":{"key":"value"}}',
    )
    const before = Number(run('get cm kept -o jsonpath={.metadata.resourceVersion}'))
    await server.restart()
    assert.equal(run('get cm kept -o jsonpath={.data.key}'), 'value')
    run('create -f -', '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"later"}}')
    assert.ok(
      Number(run('get cm later -o jsonpath={.metadata.resourceVersion}')) > before,
      'versions never go back',
    )
    assert.match(run('get cegp'), /outpost/)
  })

  test('hostile requests are refused, and it goes on', async () => {
    const { Agent, request } = await import('undici')
    const dispatcher = new Agent({ connect: { ca: server.ca } })
    const send = async (path: string, body?: string, type = 'application/json'): Promise<number> => {
      const headers = { authorization: `Bearer ${server.token}`, 'content-type': type }
      const answer = await request(`${server.url}${path}`, {
        dispatcher,
        headers,
        method: body === undefined ? 'GET' : 'POST',
        ...(body === undefined ? {} : { body }),
      })
      await answer.body.dump()
      return answer.statusCode
    }
    assert.equal(await send('/api/v1/namespaces/%ff/pods'), 400)
    assert.equal(await send('/api/v1/namespaces/default/configmaps', '{"metadata":'), 400)
    assert.equal(await send('/api/v1/namespaces/default/configmaps', '[]'), 400)
    assert.equal(await send('/api/v1/namespaces/default/configmaps', 'x'.repeat((3 << 20) + 1)), 413)
    assert.equal(
      await send('/api/v1/namespaces/default/configmaps', 'k8s', 'application/vnd.kubernetes.protobuf'),
      400,
    )
    assert.equal(
      await send(`/api/v1/namespaces/default/configmaps`, `{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}`),
      400,
    )
    assert.equal(await send('/apis/x/../../..'), 404)
    await dispatcher.close()
    assert.match(run('get ns'), /default/)
  })
})
