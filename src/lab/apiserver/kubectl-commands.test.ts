import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { WebSocketServer } from 'ws'
import { stringify } from 'yaml'
import { execMissing, kubectlMissing, RunningServer } from '../../../test/support/running-server.ts'
import { renderCrds } from '../../api/crd.ts'

const skip = kubectlMissing
let server: RunningServer
let kubelet: Server

before(async () => {
  if (skip) return
  server = await RunningServer.open(['alice-token,alice,2,"readers"', 'bob-token,bob,3'])
  kubelet = await startKubelet()
})
after(async () => {
  kubelet?.close()
  await server?.[Symbol.asyncDispose]()
})

/** Answers exec by saying what it was asked, and ends with the exit code that the command names. */
async function startKubelet(): Promise<Server> {
  const http = createServer((request, response) => {
    if (request.headers.authorization === `Bearer ${server.kubeletToken}`)
      response.writeHead(200, { 'content-type': 'text/plain' }).end(`log of ${request.url}\n`)
    else response.writeHead(401).end()
  })
  const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'v5.channel.k8s.io' })
  http.on('upgrade', (request, socket, head) => {
    sockets.handleUpgrade(request, socket, head, (client) => {
      const url = new URL(request.url ?? '', 'http://kubelet')
      const command = url.searchParams.getAll('command')
      const say = (channel: number, text: string): void =>
        client.send(Buffer.concat([Buffer.from([channel]), Buffer.from(text)]))
      const finish = (code: number): void => {
        const causes = [{ reason: 'ExitCode', message: String(code) }]
        const failure = { status: 'Failure', reason: 'NonZeroExitCode', message: '', details: { causes } }
        say(3, JSON.stringify({ metadata: {}, ...(code === 0 ? { status: 'Success' } : failure) }))
        client.close(1000)
      }
      if (command[0] === 'cat') {
        client.on('message', (data) => {
          const bytes = data as Buffer
          if (bytes[0] === 0) say(1, bytes.subarray(1).toString())
          else if (bytes[0] === 255) finish(0)
        })
        return
      }
      say(1, `${url.pathname} ${command.join(' ')}\n`)
      finish(command[0] === 'exit' ? Number(command[1]) : 0)
    })
  })
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  return http
}

async function succeed(words: string, input = ''): Promise<string> {
  const outcome = await server.kubectl(words, input)
  assert.equal(outcome.code, 0, `kubectl ${words}: ${outcome.stderr}`)
  return outcome.stdout
}

async function fail(words: string, input = '', token = server.adminToken): Promise<string> {
  const outcome = await server.kubectl(words, input, token)
  assert.notEqual(outcome.code, 0, `kubectl ${words} should fail, and says: ${outcome.stdout}`)
  return outcome.stderr
}

const node = (name: string, port: number): string =>
  stringify({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, labels: { 'node-role.kubernetes.io/control-plane': '' } },
    status: {
      addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
      daemonEndpoints: { kubeletEndpoint: { Port: port } },
      conditions: [{ type: 'Ready', status: 'True' }],
      nodeInfo: { kubeletVersion: 'v1.32.0' },
    },
  })

/** As a kubelet does once the pod has ended: waits until it is asked to go, and lets it. */
async function endPod(name: string): Promise<void> {
  const path = `/api/v1/namespaces/default/pods`
  const watch = `${path}?fieldSelector=metadata.name%3D${name}&watch=1`
  for await (const { object } of server.watch(watch, AbortSignal.timeout(10_000)))
    if ((object as { metadata: { deletionTimestamp?: string } }).metadata.deletionTimestamp) break
  await server.ask('DELETE', `${path}/${name}`, { gracePeriodSeconds: 0 })
}

const configMap = (name: string, more: object = {}): object => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, ...more },
})

const maps = '/api/v1/namespaces/default/configmaps'

describe('nodes and pods', { skip }, () => {
  test('a node is created, annotated, cordoned, and shown', async () => {
    await succeed('create -f -', node('n1', (kubelet.address() as AddressInfo).port))
    await succeed('create -f -', node('far', 1))
    assert.match(await succeed('get nodes'), /^NAME +STATUS +ROLES +AGE +VERSION\nfar .*\nn1 +Ready +control-plane +\d+s +v1\.32\.0\n$/)
    assert.match(await fail('label nodes n1 node-role.kubernetes.io/control-plane=x'), /already has a value/)
    assert.equal(await succeed('annotate node n1 a=b'), 'node/n1 annotated\n')
    assert.equal(await succeed('cordon n1'), 'node/n1 cordoned\n')
    assert.match(await succeed('get node n1'), /Ready,SchedulingDisabled/)
    assert.equal(await succeed('uncordon n1'), 'node/n1 uncordoned\n')
  }) // biome-ignore format: one a line

  test('run, every view, and selectors', async () => {
    assert.equal(await succeed('run xwing --labels org=alliance,class=xwing --image netperf'), 'pod/xwing created\n')
    assert.match(await succeed('get po -A -o wide -l org=alliance,class!=tie'), /^default +xwing .*<none> +<none> +<none> +<none>$/m)
    assert.equal(await succeed('get po -o name --field-selector spec.nodeName='), 'pod/xwing\n')
    assert.match(await fail('get po --field-selector spec.colour=red'), /field label not supported: spec\.colour/)
    assert.equal(await succeed('get po xwing -o jsonpath={.spec.terminationGracePeriodSeconds}/{.spec.restartPolicy}'), '30/Always')
    assert.match(await fail('run xwing --image netperf'), /pods "xwing" already exists/)
    assert.equal(await succeed('get nodes,pods -o name'), 'node/far\nnode/n1\npod/xwing\n')
    assert.match(await fail('patch pod xwing -p {"spec":{"hostNetwork":true}}'), /pod updates may not change fields other than/)
  }) // biome-ignore format: one a line

  test('a pod is bound once', async () => {
    const path = '/api/v1/namespaces/default/pods/xwing/binding'
    const binding = { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'xwing' }, target: { name: 'n1' } }
    assert.equal((await server.ask('POST', path, binding)).code, 201)
    assert.equal((await server.ask('POST', path, binding)).code, 409)
  })

  test('exec with its exit code and its input', { skip: execMissing }, async () => {
    assert.equal(await succeed('exec xwing -- curl -s url'), '/exec/default/xwing/xwing curl -s url\n')
    assert.equal((await server.kubectl('exec xwing -- exit 7')).code, 7)
    assert.equal(await succeed('exec -i xwing -- cat', 'through\n'), 'through\n')
    assert.match(await fail('exec xwing -c nobody -- ls'), /container nobody is not valid for pod xwing/)
  })

  test('logs; and a kubelet that is away', async () => {
    assert.match(await succeed('logs xwing --tail=3'), /^log of \/containerLogs\/default\/xwing\/xwing\?.*tailLines=3/)
    const spec = { nodeName: 'far', containers: [{ name: 'a', image: 'b' }] }
    await succeed('create -f -', stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'lost' }, spec }))
    assert.match(await fail('logs lost'), /error dialing backend: .*127\.0\.0\.1:1/)
    assert.match(await fail('exec lost -- ls'), /error dialing backend/)
  }) // biome-ignore format: one a line

  test('a pod on a node goes when its kubelet says so, any other at once', async () => {
    const deleting = succeed('delete pod lost --timeout=20s')
    await endPod('lost')
    assert.match(await deleting, /^pod "lost" deleted/)
    await succeed('run free --image b')
    assert.match(await succeed('delete pod free'), /^pod "free" deleted/)
  })

  test('describe', async () => {
    assert.match(await succeed('describe pod xwing'), /Name: +xwing/)
    assert.match(await succeed('describe node n1'), /Non-terminated Pods: +\(1 in total\)/)
  })

  test('drain evicts, unless a disruption budget forbids it', async () => {
    const budget = { apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: { name: 'one' }, spec: { minAvailable: 1, selector: { matchLabels: { org: 'alliance' } } } }
    const ready = { status: { phase: 'Running', conditions: [{ type: 'Ready', status: 'True' }] } }
    await succeed(`patch pod xwing --subresource=status --type=merge -p ${JSON.stringify(ready)}`)
    await succeed('create -f -', stringify(budget))
    const eviction = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'xwing' } }
    const refused = await server.ask('POST', '/api/v1/namespaces/default/pods/xwing/eviction', eviction)
    assert.equal(refused.code, 429)
    assert.match(refused.text, /would violate the pod's disruption budget/)
    await succeed('delete pdb one')
    const draining = succeed('drain n1 --force --timeout=20s')
    await endPod('xwing')
    assert.match(await draining, /node\/n1 drained/)
  }) // biome-ignore format: one a line
})

describe('changes', { skip }, () => {
  test('get -w prints what changes', async () => {
    const watching = server.run(['timeout', '4', 'kubectl', 'get', 'cm', '-w', '--output-watch-events'])
    await server.run(['sleep', '1.5'])
    await server.ask('POST', maps, { ...configMap('seen'), data: { a: '1' } })
    assert.match((await watching).stdout, /ADDED +seen +1 +\d+s/)
  })

  test('a watch whose time is over ends with a bookmark', async () => {
    const types: string[] = []
    const path = `${maps}?watch=1&timeoutSeconds=1&allowWatchBookmarks=true`
    for await (const { type } of server.watch(path, AbortSignal.timeout(10_000))) types.push(type)
    assert.equal(types.at(-1), 'BOOKMARK')
  }) // biome-ignore format: one a line

  test('a deployment: unchanged, strategic patch, diff, scale, and what it owns goes first', async () => {
    const containers = ['one', 'two'].map((name) => ({ name, image: 'i:1' }))
    const template = { metadata: { labels: { app: 'a' } }, spec: { containers } }
    const spec = { replicas: 2, selector: { matchLabels: { app: 'a' } }, template }
    const deployment = stringify({ apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' }, spec }, { aliasDuplicateObjects: false })
    assert.equal(await succeed('apply -f -', deployment), 'deployment.apps/d created\n')
    assert.equal(await succeed('apply -f -', deployment), 'deployment.apps/d unchanged\n')
    assert.equal(await succeed('set image deployment/d two=i:2'), 'deployment.apps/d image updated\n')
    assert.equal(await succeed('get deploy d -o jsonpath={.spec.template.spec.containers[*].image}'), 'i:1 i:2')
    const diff = await server.kubectl('diff -f -', deployment.replace('replicas: 2', 'replicas: 3'))
    assert.equal(diff.code, 1, diff.stderr)
    assert.match(diff.stdout, /- {2}replicas: 2\n\+ {2}replicas: 3/)
    assert.equal(await succeed('scale deploy d --replicas=5'), 'deployment.apps/d scaled\n')
    assert.equal(await succeed('get deploy d -o jsonpath={.spec.replicas}'), '5')
    const uid = await succeed('get deploy d -o jsonpath={.metadata.uid}')
    await server.ask('POST', maps, configMap('owned', { ownerReferences: [{ apiVersion: 'apps/v1', kind: 'Deployment', name: 'd', uid }] }))
    assert.match(await succeed('delete deploy d --dry-run=server'), /deleted .*\(server dry run\)/)
    assert.match(await succeed('delete deploy d --cascade=foreground'), /^deployment.apps "d" deleted/)
    assert.match(await fail('get cm owned'), /NotFound/)
    assert.match(await fail('create -f -', deployment.replace('app: a', 'app: b')), /`selector` does not match template `labels`/)
  }) // biome-ignore format: one a line

  test('orphans stay', async () => {
    const { uid } = JSON.parse((await server.ask('POST', maps, configMap('owner'))).text).metadata as { uid: string }
    await server.ask('POST', maps, configMap('kept', { ownerReferences: [{ apiVersion: 'v1', kind: 'ConfigMap', name: 'owner', uid }] }))
    await succeed('delete cm owner --cascade=orphan')
    assert.equal(await succeed('get cm kept -o jsonpath={.metadata.name}{.metadata.ownerReferences}'), 'kept')
  }) // biome-ignore format: one a line

  test('replace, edit and JSON patch; a stale version is refused', async () => {
    await server.ask('POST', maps, { ...configMap('shared'), data: { key: 'b' } })
    const text = await succeed('get cm shared -o json')
    assert.equal(await succeed('replace -f -', text.replace('"b"', '"c"')), 'configmap/shared replaced\n')
    assert.match(await fail('replace -f -', text), /the object has been modified/)
    const edited = await server.run(['env', 'KUBE_EDITOR=sed -i s/key:.c/key:\\ d/', 'kubectl', 'edit', 'cm', 'shared'])
    assert.equal(edited.stdout, 'configmap/shared edited\n', edited.stderr)
    assert.equal(await succeed('patch cm shared --type=json -p [{"op":"replace","path":"/data/key","value":"e"}]'), 'configmap/shared patched\n')
    assert.equal(await succeed('get cm shared -o jsonpath={.data.key}'), 'e')
  }) // biome-ignore format: one a line

  test('the definition of a kind takes its objects along', async () => {
    const definitions = renderCrds().map((crd) => stringify(crd)).join('---\n')
    await succeed('apply -f -', definitions)
    await succeed('wait --for=condition=Established crd --all --timeout=10s')
    const spec = { selectors: [{ podSelector: {} }], destinationCIDRs: ['172.18.0.0/16'], egressGateway: { nodeSelector: {}, interface: 'net0' } }
    await succeed('create -f -', stringify({ apiVersion: 'cilium.io/v2', kind: 'CiliumEgressGatewayPolicy', metadata: { name: 'p' }, spec }))
    await succeed('delete crd ciliumegressgatewaypolicies.cilium.io --timeout=10s')
    assert.match(await fail('get cegp'), /could not find the requested resource|doesn't have a resource type/)
    await succeed('apply -f -', definitions)
    assert.equal(await succeed('get cegp -o name'), '')
  }) // biome-ignore format: one a line
})

describe('what kubectl says in protobuf', { skip }, () => {
  test('imperative creation', async () => {
    assert.equal(await succeed('create namespace wing'), 'namespace/wing created\n')
    assert.equal(await succeed('get ns wing -o jsonpath={.metadata.labels}'), '{"kubernetes.io/metadata.name":"wing"}')
    assert.equal(await succeed('create serviceaccount pilot -n wing'), 'serviceaccount/pilot created\n')
    assert.equal(await succeed('create configmap m -n wing --from-literal=a=b'), 'configmap/m created\n')
    assert.equal(await succeed('get cm m -n wing -o jsonpath={.data}'), '{"a":"b"}')
    assert.equal(await succeed('create secret generic s -n wing --from-literal=a=b'), 'secret/s created\n')
    assert.equal(await succeed('get secret s -n wing -o jsonpath={.data.a}'), 'Yg==')
    assert.equal(await succeed('create deployment dep -n wing --image=i --replicas=3'), 'deployment.apps/dep created\n')
    assert.equal(await succeed('get deploy dep -n wing -o jsonpath={.spec.replicas}/{.spec.template.spec.containers[0].image}'), '3/i')
    assert.match(await fail('create quota q --hard=pods=1'), /doesn't have a resource type|could not find|use kubectl apply -f/)
  }) // biome-ignore format: one a line

  test('a namespace takes along what is in it; some are there for good', async () => {
    assert.equal(await succeed('delete namespace wing --timeout=20s'), 'namespace "wing" deleted\n')
    assert.match(await fail('get cm m -n wing'), /NotFound/)
    assert.match(await fail('create configmap m -n wing --from-literal=a=b'), /namespaces "wing" not found/)
    assert.match(await fail('delete namespace default'), /Forbidden/)
  })

  test('roles, bindings, can-i and whoami', async () => {
    assert.match(await fail('get pods', '', 'alice-token'), /pods is forbidden: User "alice" cannot list resource "pods" in API group "" in the namespace "default"/)
    await succeed('create role pods --verb=get,list --resource=pods')
    await succeed('create rolebinding alice --role=pods --group=readers')
    assert.equal((await server.kubectl('get pods', '', 'alice-token')).code, 0)
    assert.equal((await server.kubectl('auth can-i list pods', '', 'alice-token')).stdout, 'yes\n')
    assert.equal((await server.kubectl('auth can-i delete pods', '', 'alice-token')).stdout, 'no\n')
    assert.match((await server.kubectl('auth whoami', '', 'alice-token')).stdout, /Username +alice/)
    await succeed('create clusterrole one --verb=get --resource=nodes --resource-name=n1')
    await succeed('create clusterrolebinding bob --clusterrole=one --user=bob')
    assert.equal((await server.kubectl('get node n1 -o name', '', 'bob-token')).stdout, 'node/n1\n')
    assert.match(await fail('get node far', '', 'bob-token'), /nodes "far" is forbidden/)
  }) // biome-ignore format: one a line

  test('a service account has what is bound to it, until it is deleted', async () => {
    await succeed('create serviceaccount robot')
    await succeed('create rolebinding robot --role=pods --serviceaccount=default:robot')
    const token = (await succeed('create token robot')).trim()
    assert.equal((await server.kubectl('get pods', '', token)).code, 0)
    await succeed('delete serviceaccount robot')
    assert.match(await fail('get pods', '', token), /Unauthorized|must be logged in/)
  })
})
