import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, describe, test } from 'node:test'
import { WebSocketServer } from 'ws'
import { execMissing, kubectlMissing, RunningServer } from '../../../test/support/running-server.ts'
import { renderCrds } from '../../api/crd.ts'

const policy = (name: string, spec: object): string =>
  JSON.stringify({ apiVersion: 'cilium.io/v2', kind: 'CiliumEgressGatewayPolicy', metadata: { name }, spec })

const good = {
  selectors: [{ podSelector: { matchLabels: { org: 'alliance' } } }],
  destinationCIDRs: ['172.18.0.0/16'],
  egressGateway: { nodeSelector: { matchLabels: { 'egress-gw': 'true' } }, interface: 'net0' },
}

const node = (name: string): string => JSON.stringify({ apiVersion: 'v1', kind: 'Node', metadata: { name } })

/** What the real kubectl asks of an API server. */
describe('kubectl', { skip: kubectlMissing, timeout: 600_000 }, () => {
  let server: RunningServer
  const ask = async (
    words: string,
    input?: string,
    token?: string,
  ): Promise<{ code: number; output: string }> => {
    const { code, stdout, stderr } = await server.kubectl(words, input, token)
    return { code, output: `${stdout}${stderr}`.trim() }
  }
  const run = async (words: string, input?: string, token?: string): Promise<string> => {
    const { code, output } = await ask(words, input, token)
    assert.equal(code, 0, `kubectl ${words}\n${output}`)
    return output
  }
  const fails = async (words: string, input?: string, token?: string): Promise<string> => {
    const { code, output } = await ask(words, input, token)
    assert.notEqual(code, 0, `kubectl ${words} should fail\n${output}`)
    return output
  }

  before(async () => {
    server = await RunningServer.open(['guest-token,guest,2'])
    await run(
      'apply -f -',
      renderCrds()
        .map((crd) => JSON.stringify(crd))
        .join('\n'),
    )
  })
  after(() => server[Symbol.asyncDispose]())

  test('lists what is there, and says where nothing is', async () => {
    assert.match(await run('get ns'), /^NAME\s+STATUS\s+AGE\ndefault\s+Active/)
    assert.match(await run('get pods'), /No resources found in default namespace/)
    assert.match(await fails('get nonsense'), /the server doesn't have a resource type "nonsense"/)
    assert.match(await fails('get pod missing'), /\(NotFound\): pods "missing" not found/)
  })

  test('taints and labels nodes, and shows labels', async () => {
    await run('create -f -', node('kind-worker3'))
    assert.equal(await run('taint node kind-worker3 egress-gw:NoSchedule'), 'node/kind-worker3 tainted')
    assert.equal(await run('label nodes kind-worker3 egress-gw=true'), 'node/kind-worker3 labeled')
    assert.match(await run('get no --show-labels'), /kind-worker3 .*egress-gw=true/)
    assert.equal(await run('get no -l egress-gw=true -o name'), 'node/kind-worker3')
    assert.equal(await run('label node kind-worker3 egress-gw-'), 'node/kind-worker3 unlabeled')
    assert.equal(await run('get no -l egress-gw -o name'), '')
    assert.equal(await run('taint node kind-worker3 egress-gw:NoSchedule-'), 'node/kind-worker3 untainted')
  })

  test('runs, selects, changes and deletes pods', async () => {
    assert.equal(
      await run('run xwing --labels org=alliance --image docker.io/tgraf/netperf'),
      'pod/xwing created',
    )
    assert.match(await run('get pod --show-labels'), /xwing\s+0\/1\s+Pending\s+0\s+\S+\s+org=alliance/)
    assert.equal(await run('get po --field-selector status.phase=Pending -o name'), 'pod/xwing')
    assert.match(
      await fails('get po --field-selector spec.colour=red'),
      /field label not supported: spec.colour/,
    )
    assert.equal(
      await run('patch pod xwing --type json -p [{"op":"add","path":"/metadata/labels/class","value":"x"}]'),
      'pod/xwing patched',
    )
    assert.equal(await run('get pod xwing -o jsonpath={.metadata.labels.class}'), 'x')
    assert.match(await run('delete pod xwing'), /^pod "xwing" deleted( from default namespace)?$/)
    assert.equal(await run('get pods -o name'), '')
  })

  test('applies a policy, and again', async () => {
    const name = 'ciliumegressgatewaypolicy.cilium.io/outpost'
    assert.equal(await run('apply -f -', policy('outpost', good)), `${name} created`)
    assert.equal(await run('apply -f -', policy('outpost', good)), `${name} unchanged`)
    assert.equal(
      await run('apply -f -', policy('outpost', { ...good, excludedCIDRs: ['172.18.9.0/24'] })),
      `${name} configured`,
    )
    assert.equal(await run('get cegp outpost -o jsonpath={.metadata.generation}'), '2')
    assert.equal(await run('apply -f -', policy('outpost', good)), `${name} configured`)
    assert.equal(await run('get cegp outpost -o jsonpath={.spec.excludedCIDRs}'), '')
    const summary = { gateways: 'kind-worker3', egressIPs: '172.18.0.42', pods: 7 }
    const ready = {
      type: 'Ready',
      status: 'True',
      reason: 'GatewaysFound',
      message: 'x',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    }
    const status = JSON.stringify({ status: { summary, conditions: [ready] } })
    await run(`patch cegp outpost --subresource status --type merge -p ${status}`)
    assert.match(
      await run('get cegp'),
      /^NAME +READY +GATEWAY +EGRESS IP +PODS +AGE\noutpost +True +kind-worker3 +172\.18\.0\.42 +7 +\d/,
    )
    assert.match(
      await run('get cegp -o wide'),
      /REASON +DESTINATIONS +AGE\n.* GatewaysFound +\S*172\.18\.0\.0\/16/,
    )
  })

  /** Each cell as it is printed, without the age. */
  const table = async (words: string): Promise<readonly (readonly string[])[]> =>
    (await run(words)).split('\n').map((line) => line.trim().split(/ {2,}/).slice(0, -1))

  test('prints the columns of the other kinds', async () => {
    const create = async (kind: string, spec: object, status: object): Promise<void> => {
      const group = kind === 'IsovalentEgressGatewayPolicy' ? 'isovalent.com/v1' : 'sallyport.dev/v1alpha1'
      await run('apply -f -', JSON.stringify({ apiVersion: group, kind, metadata: { name: 'one' }, spec }))
      await run(`patch ${kind} one --subresource status --type merge -p ${JSON.stringify({ status })}`)
    }
    const condition = (type: string, reason: string) => ({
      type,
      status: 'True',
      reason,
      message: 'x',
      lastTransitionTime: '2026-01-01T00:00:00Z',
    })
    const { egressGateway: _, ...selected } = good
    await create(
      'IsovalentEgressGatewayPolicy',
      { ...selected, egressGroups: [{ nodeSelector: {}, interface: 'net0' }] },
      {
        summary: { gateways: 'kind-worker4', egressIPs: '172.18.0.43', pods: 3 },
        conditions: [condition('Ready', 'GatewaysFound')],
      },
    )
    assert.deepEqual(await table('get iegp one -o wide'), [
      ['NAME', 'READY', 'GATEWAY', 'EGRESS IP', 'PODS', 'REASON', 'DESTINATIONS'],
      ['one', 'True', 'kind-worker4', '172.18.0.43', '3', 'GatewaysFound', '["172.18.0.0/16"]'],
    ])
    await create(
      'EgressNode',
      { slot: 5 },
      {
        conditions: [condition('Connected', 'Connected')],
        heard: ['kind-worker3'],
        unreachable: ['kind-worker4'],
        byLink: ['kind-worker3'],
        version: '1.2.3',
      },
    )
    assert.deepEqual(await table('get egressnodes -o wide'), [
      ['NAME', 'SLOT', 'CONNECTED', 'REASON', 'REACHABLE', 'UNREACHABLE', 'BY LINK', 'VERSION'],
      ['one', '5', 'True', 'Connected', '["kind-worker3"]', '["kind-worker4"]', '["kind-worker3"]', '1.2.3'],
    ])
    await create(
      'EgressAddress',
      { address: '172.18.0.43', owner: 'kind-worker4' },
      {
        conditions: [condition('Lingering', 'ConnectionsLeft')],
        lingering: { connections: 12, nodes: ['kind-worker'] },
      },
    )
    assert.deepEqual(await table('get egressaddresses'), [
      ['NAME', 'ADDRESS', 'OWNER', 'LINGERING', 'CONNECTIONS'],
      ['one', '172.18.0.43', 'kind-worker4', 'True', '12'],
    ])
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
    test(`refuses a policy with ${what}, and says so`, async () => {
      assert.match(await fails('apply -f -', policy('bad', { ...good, ...spec })), message)
      assert.match(await fails('get cegp bad'), /NotFound/)
    })

  test('explains every mode of azAffinity', async () => {
    const text = await run('explain isovalentegressgatewaypolicies.spec.azAffinity')
    /* kubectl 1.32 has an empty line more than the one that the walkthrough was written with. */
    assert.equal(
      text
        .replaceAll(/ +$/gm, '')
        .replaceAll(/\n{3,}/g, '\n\n')
        .trim(),
      `GROUP:      isovalent.com
KIND:       IsovalentEgressGatewayPolicy
VERSION:    v1

FIELD: azAffinity <string>

DESCRIPTION:
    AZAffinity controls the AZ affinity of the gateway nodes to the source pods
    and allows to select or prefer local (i.e. gateways in the same AZ of a
    given pod) gateways.
     4 modes are supported: - disabled: no AZ affinity - localOnly: only local
    gateway nodes will be selected - localOnlyFirst: only local gateways nodes
    will be selected until at least one gateway is available in the AZ. When no
    more local gateways are available, gateways from different AZs will be used
    - localPriority: local gateways will be picked up first to build the list of
    active gateways. This mode is supposed to be used in combination with
    maxGatewayNodes`,
    )
  })

  test('server-side apply tells who owns a field, and lets go of what is no longer said', async () => {
    const object = (labels: object): string =>
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'shared', labels },
        data: { key: 'one' },
      })
    await run('apply --server-side --field-manager=first -f -', object({ a: '1', b: '1' }))
    assert.match(
      await fails('apply --server-side --field-manager=second -f -', object({ a: '2' })),
      /conflict with "first"/,
    )
    await run('apply --server-side --field-manager=second --force-conflicts -f -', object({ a: '2' }))
    await run('apply --server-side --field-manager=first -f -', object({}))
    assert.equal(await run('get cm shared -o jsonpath={.metadata.labels}'), '{"a":"2"}')
  })

  test('waits for what is so, and for what is deleted', async () => {
    await run(
      'create -f -',
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'ConfigMap',
        metadata: { name: 'waited' },
        data: { key: 'value' },
      }),
    )
    assert.match(await run('wait --for=jsonpath={.data.key}=value cm/waited --timeout=5s'), /condition met/)
    await run('delete cm waited')
    assert.match(await run('wait --for=delete cm/waited --timeout=5s'), /^$/)
  })

  test('a namespace takes what is in it along', async () => {
    await run('create -f -', '{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"passing"}}')
    await run('-n passing create -f -', '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"inside"}}')
    await run('delete ns passing')
    assert.match(await fails('-n passing get cm inside'), /NotFound/)
  })

  test('rights are honoured: what is not granted is refused, what is granted is not', async () => {
    assert.match(
      await fails('get pods', undefined, 'guest-token'),
      /User "guest" cannot list resource "pods"/,
    )
    await run(
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
    assert.match(await run('get pods', undefined, 'guest-token'), /No resources found/)
    assert.match(await fails('get nodes', undefined, 'guest-token'), /cannot list resource "nodes"/)
  })

  test('dependents go with their owner', async () => {
    await run('create -f -', '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"owner"}}')
    const uid = await run('get cm owner -o jsonpath={.metadata.uid}')
    await run(
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
    await run('delete cm owner')
    assert.match(await run('wait --for=delete cm/owned --timeout=5s'), /^$/)
  })

  test('exec passes streams and exit codes through', { skip: execMissing }, async () => {
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
    await run('create -f -', node('far-node'))
    await run(
      `patch node far-node --subresource=status --type=merge -p ${JSON.stringify({ status: { addresses: [{ type: 'InternalIP', address: '127.0.0.1' }], daemonEndpoints: { kubeletEndpoint: { Port: port } } } })}`,
    )
    await run(
      'create -f -',
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name: 'far' },
        spec: { nodeName: 'far-node', containers: [{ name: 'far', image: 'x' }] },
      }),
    )
    const { code, stdout } = await server.kubectl('exec far -- false')
    kubelet.close()
    sockets.close()
    assert.equal(stdout, 'said\n')
    assert.equal(code, 3)
  })

  test('killed and started again, it has lost nothing that it had acknowledged', async () => {
    await run(
      'create -f -',
      '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"kept"},"data":{"key":"value"}}',
    )
    const before = Number(await run('get cm kept -o jsonpath={.metadata.resourceVersion}'))
    await server.kill()
    await server.start()
    assert.equal(await run('get cm kept -o jsonpath={.data.key}'), 'value')
    await run('create -f -', '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"later"}}')
    assert.ok(
      Number(await run('get cm later -o jsonpath={.metadata.resourceVersion}')) > before,
      'versions never go back',
    )
    assert.match(await run('get cegp'), /outpost/)
  })

  test('hostile requests are refused, and it goes on', async () => {
    const { Agent, request } = await import('undici')
    const dispatcher = new Agent({ connect: { ca: server.ca } })
    const send = async (path: string, body?: string, type = 'application/json'): Promise<number> => {
      const headers = { authorization: `Bearer ${server.adminToken}`, 'content-type': type }
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
    assert.match(await run('get ns'), /default/)
  })
})
