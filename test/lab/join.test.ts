import assert from 'node:assert/strict'
import { existsSync, writeFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { stringify } from 'yaml'
import { restartApiServer } from '../../src/lab/daemons/api-server.ts'
import { startLab, stopLab } from '../../src/lab/lab.ts'
import { loadLab, requireLab } from '../../src/lab/lab-state.ts'
import { labPaths, type NodePlan, walkthroughNodes } from '../../src/lab/layout.ts'
import { isRunning } from '../../src/lab/machines/machine.ts'
import { RunningServer } from '../support/running-server.ts'
import { cannotRun, eventually, hangTimeoutMs, type } from './lab-under-test.ts'

const name = 'test-join'
const nodes: readonly NodePlan[] = walkthroughNodes.filter(({ lastOctet }) => [6, 2].includes(lastOctet))

const asWebSocket = [
  '--http1.1 -H "Connection: Upgrade" -H "Upgrade: websocket"',
  '-H "Sec-WebSocket-Version: 13" -H "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="',
].join(' ')

/** Somebody else's cluster: an API server in this machine's own network, which no lab can reach by itself. */
describe('a lab that joins a cluster', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  let server: RunningServer
  let findings: string[]

  const kubeconfigFor = (token: string): string => {
    const path = server.path('joined.kubeconfig')
    const config = {
      clusters: [
        {
          name: 'theirs',
          cluster: { server: server.url, 'certificate-authority-data': btoa(server.ca) },
        },
      ],
      users: [{ name: 'me', user: { token } }],
      contexts: [{ name: 'theirs', context: { cluster: 'theirs', user: 'me' } }],
    }
    writeFileSync(path, stringify(config), { mode: 0o600 })
    return path
  }

  const join = (lab: string) =>
    startLab({
      name: lab,
      nodes,
      kubeconfig: kubeconfigFor(server.adminToken),
      context: 'theirs',
      onFinding: (finding) => findings.push(finding),
    })

  /** Asked of the server itself, and not through the lab. */
  const directly = async (words: string): Promise<string> => (await server.kubectl(words)).stdout.trim()

  before(async () => {
    if (cannotRun) return
    if (loadLab(name) !== undefined) await stopLab(name)
    server = await RunningServer.open(['guest-token,guest,2'])
    findings = []
    await join(name)
  })
  after(async () => {
    if (cannotRun) return
    if (loadLab(name) !== undefined) await stopLab(name)
    await server[Symbol.asyncDispose]()
  })

  test('its nodes register in the joined cluster with the lab’s label', async () => {
    assert.equal(
      await directly(`get nodes -l sallyport.dev/lab=${name} -o name`),
      'node/kind-control-plane\nnode/kind-worker',
    )
  })

  test('the lab reports what it found in the cluster', () => {
    assert.deepEqual(findings, [
      'the lab’s kubelets act with the rights of their nodes',
      'the cluster runs no controllers, and the lab starts its own',
    ])
  })

  test('the kubelet mounts what admission adds: a usable token and the CA', async () => {
    const state = requireLab(name)
    await type(
      state,
      'kubectl create clusterrolebinding reader --clusterrole=view --serviceaccount=default:default',
    )
    await type(
      state,
      `kubectl run speaks --image docker.io/tgraf/netperf --overrides '{"spec":{"nodeName":"kind-worker","hostNetwork":true}}'`,
    )
    await type(state, 'kubectl wait --for=condition=Ready pod/speaks --timeout=60s')
    const volume = await directly(
      'get pod speaks -o jsonpath={.spec.volumes[0].name}:{.spec.containers[0].volumeMounts[0].mountPath}',
    )
    assert.match(volume, /^kube-api-access-.{5}:\/var\/run\/secrets\/kubernetes.io\/serviceaccount$/)
    const folder = '/var/run/secrets/kubernetes.io/serviceaccount'
    const ask = `curl -s --cacert ${folder}/ca.crt -H "Authorization: Bearer $(cat ${folder}/token)"`
    const path = '/api/v1/namespaces/$(cat NAMESPACE)/pods/speaks'.replace('NAMESPACE', `${folder}/namespace`)
    const server = 'https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT'
    assert.match(
      await type(state, `kubectl exec speaks -- sh -c '${ask} "${server}${path}"'`),
      /"name": ?"speaks"/,
    )
    assert.match(
      await type(state, `kubectl exec speaks -- sh -c 'echo x >>${folder}/token' 2>&1 || true`),
      /Read-only/,
    )
  })

  test('an unsupported volume causes the event that a real kubelet writes', async () => {
    const state = requireLab(name)
    const spec = {
      nodeName: 'kind-worker',
      hostNetwork: true,
      volumes: [{ name: 'claimed', persistentVolumeClaim: { claimName: 'none' } }],
      containers: [
        { name: 'c', image: 'busybox', volumeMounts: [{ name: 'claimed', mountPath: '/etc/claimed' }] },
      ],
    }
    await server.kubectl(
      'create -f -',
      JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'claims' }, spec }),
    )
    await eventually('its event says what is missing', async () =>
      /Warning +FailedMount .*unmounted volumes=\[claimed\]/.test(
        await type(state, 'kubectl describe pod claims'),
      ),
    )
    await type(state, 'kubectl delete pod claims speaks --grace-period=1')
  })

  test('Sallyport installs into the joined cluster', async () => {
    const state = requireLab(name)
    await type(state, 'cilium install --set operator.replicas=1')
    assert.match(await type(state, 'cilium status --wait'), /OK/)
    assert.match(await directly('-n kube-system get pods -o wide'), /kind-worker/)
  })

  test('exec and logs reach a pod that the joined API server cannot reach', async () => {
    const state = requireLab(name)
    await type(state, 'kubectl run xwing --image docker.io/tgraf/netperf')
    await type(state, 'kubectl wait --for=condition=Ready pod/xwing --timeout=60s')
    assert.equal(await directly('get pod xwing -o jsonpath={.spec.nodeName}'), 'kind-worker')
    assert.equal(await type(state, 'kubectl exec xwing -- hostname'), 'xwing')
    assert.equal(await type(state, 'echo typed | kubectl exec -i xwing -- cat'), 'typed')
    assert.match(await type(state, 'kubectl -n kube-system logs ds/cilium --tail=1'), /"name":"agent"/)
  })

  test('a watch delivers events through the relay as they happen', async () => {
    await directly('create configmap word')
    let isOver = false
    const watched = type(
      requireLab(name),
      `kubectl get configmap word -w -o 'jsonpath={.data.said}{"\\n"}' | head -3`,
    ).finally(() => (isOver = true))
    let changes = 0
    await eventually('changes arrive while the watch goes on', async () => {
      await directly(`patch configmap word -p {"data":{"said":"word-${++changes}"}}`)
      return isOver
    })
    assert.match(await watched, /word-\d+\nword-\d+$/)
  })

  test('a service account has exactly its own rights through the relay', async () => {
    const state = requireLab(name)
    await type(
      state,
      'kubectl create clusterrolebinding looks --clusterrole=view --serviceaccount=default:default',
    )
    const asAccount = `kubectl --kubeconfig=/dev/null --server=https://172.18.0.6:6443 \
      --certificate-authority=${labPaths(name).apiServer}/ca.crt --token=$(kubectl create token default)`
    assert.match(await type(state, `${asAccount} auth whoami`), /system:serviceaccount:default:default/)
    assert.equal(await type(state, `${asAccount} get pod xwing -o name`), 'pod/xwing')
    assert.match(await type(state, `${asAccount} get secrets 2>&1 || true`), /cannot list resource "secrets"/)
    assert.match(
      await type(state, `${asAccount} exec xwing -- id 2>&1 || true`),
      /does not let you create resource "pods\/exec"/,
    )
    assert.match(
      await type(state, `${asAccount} logs xwing 2>&1 || true`),
      /does not let you get resource "pods\/log"/,
    )
  })

  test('a kubelet has the rights of its node, not those of the kubeconfig', async () => {
    const state = requireLab(name)
    const asKubelet = `kubectl --token=${state.tokens['kind-worker']}`
    assert.match(await type(state, `${asKubelet} auth whoami`), /system:node:kind-worker/)
    assert.match(
      await type(state, `${asKubelet} get secrets -A 2>&1 || true`),
      /can only read namespaced object of this type/,
    )
    assert.match(
      await type(
        state,
        `${asKubelet} label node kind-worker node-role.kubernetes.io/control-plane= 2>&1 || true`,
      ),
      /is not allowed to modify labels/,
    )
    assert.match(
      await type(state, `${asKubelet} create clusterrole x --verb=get --resource=pods 2>&1 || true`),
      /User "system:node:kind-worker" cannot create/,
    )
  })

  test('the relay refuses requests without a valid token', async () => {
    const state = requireLab(name)
    const curl = 'curl -sk -o /dev/null -w %{http_code}'
    const pods = 'https://172.18.0.6:6443/api/v1/namespaces/default/pods'
    for (const path of [pods, `${pods}/xwing/log`]) {
      assert.match(await type(state, `${curl} ${path}`), /^40[13]$/)
      assert.equal(await type(state, `${curl} -H "Authorization: Bearer nonsense" ${path}`), '401')
    }
    assert.equal(await type(state, `${curl} ${asWebSocket} '${pods}/xwing/exec?command=id'`), '403')
  })

  test('a log request never runs a command', async () => {
    const state = requireLab(name)
    const log = 'https://172.18.0.6:6443/api/v1/namespaces/default/pods/xwing/log?command=id'
    const admin = `-H "Authorization: Bearer ${state.tokens.admin}"`
    assert.match(
      await type(state, `curl -sk --max-time 5 ${asWebSocket} ${admin} '${log}'`),
      /only exec and attach are WebSockets/,
    )
  })

  test('the lab’s network has no route to the joined API server', async () => {
    const state = requireLab(name)
    assert.equal(await type(state, `curl -sk --max-time 5 ${server.url}/version || echo none`), 'none')
  })

  test('a second lab with the same node names is refused and deletes nothing of the first', async () => {
    await assert.rejects(
      join('test-join-2'),
      /kind-control-plane of a lab named test-join \(if that lab no longer exists/,
    )
    assert.equal(loadLab('test-join-2'), undefined)
    assert.equal((await directly('get nodes -o name')).split('\n').length, 2)
  })

  test('a restarted relay serves the lab again', async () => {
    const { relay } = requireLab(name).daemons
    assert.ok(relay)
    process.kill(relay.pid, 'SIGKILL')
    await eventually('it is gone', async () => !isRunning(relay))
    assert.match(
      await type(requireLab(name), 'kubectl get pods 2>&1 || true'),
      /the API server that the lab joined does not answer/,
    )
    await restartApiServer(name)
    assert.equal(await type(requireLab(name), 'kubectl exec xwing -- hostname'), 'xwing')
    await type(requireLab(name), 'kubectl run ywing --image docker.io/tgraf/netperf')
    await type(requireLab(name), 'kubectl wait --for=condition=Ready pod/ywing --timeout=60s')
  })

  test('a deleted lab leaves no processes, nodes or pods, and keeps the installed objects', async () => {
    const state = requireLab(name)
    const processes = [...Object.values(state.daemons), ...state.nodes.map(({ machine }) => machine.init)]
    await stopLab(name)
    assert.deepEqual(processes.filter(isRunning), [])
    assert.equal(existsSync(labPaths(name).directory), false)
    assert.equal(await directly('get nodes,pods -A -o name'), '')
    assert.equal(await directly('-n kube-node-lease get leases -o name'), '')
    assert.equal(await directly('-n kube-system get ds cilium -o name'), 'daemonset.apps/cilium')
  })

  test('the lab starts no controllers where the cluster runs its own', async () => {
    for (const each of ['kube-controller-manager', 'kube-scheduler']) {
      const lease = {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: { name: each, namespace: 'kube-system' },
        spec: { renewTime: new Date().toISOString().replace('Z', '000Z') },
      }
      await server.kubectl('create -f -', JSON.stringify(lease))
    }
    findings = []
    try {
      const { daemons } = await join('test-join-3')
      assert.equal(daemons.controllers, undefined)
      assert.match(
        findings.join(),
        /the cluster runs kube-controller-manager and kube-scheduler, and the lab starts no controllers/,
      )
    } finally {
      await stopLab('test-join-3')
    }
  })

  test('a lab is deleted even if its cluster is gone, and the error names what may be left there', async () => {
    await join('test-join-4')
    await server.kill()
    await assert.rejects(
      stopLab('test-join-4'),
      /may still be registered at .*sallyport.dev\/lab=test-join-4/,
    )
    assert.equal(loadLab('test-join-4'), undefined)
  })
})
