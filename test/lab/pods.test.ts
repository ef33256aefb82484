import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { describe, test } from 'node:test'
import { stringify } from 'yaml'
import { restartKubelet } from '../../src/lab/daemons/controllers-and-kubelets.ts'
import type { LabState } from '../../src/lab/lab-state.ts'
import { exec } from '../../src/lab/shell.ts'
import { cannotRun, eventually, hangTimeoutMs, labFor, type } from './lab-under-test.ts'

/** A network plugin of a few commands: what a kubelet needs of one, and nothing of ours. */
const plugin = `#!/bin/sh
config=$(cat)
echo "$CNI_COMMAND $CNI_IFNAME $CNI_ARGS" >>/run/plugin.calls
case $CNI_COMMAND in
ADD)
  host=v$(echo "$CNI_CONTAINERID" | tail -c 9)
  ip link add "$host" type veth peer name eth0 netns "$CNI_NETNS"
  ip link set "$host" up
  ip address replace 10.244.2.1/32 dev lo
  ip route add 10.244.2.9/32 dev "$host"
  ip netns exec "\${CNI_NETNS##*/}" sh -ec 'ip link set eth0 up; ip address add 10.244.2.9/32 dev eth0; ip route add default dev eth0'
  echo '{"cniVersion":"1.0.0","ips":[{"address":"10.244.2.9/32"}]}'
  ;;
esac`

const conflist = JSON.stringify({ cniVersion: '1.0.0', name: 'test', plugins: [{ type: 'plain' }] })

const apply = (state: LabState, object: object): Promise<string> =>
  type(state, `kubectl apply -f - <<'END'\n${stringify({ apiVersion: 'v1', ...object })}\nEND`)

const isReady = (state: LabState, pod: string): Promise<string> =>
  type(state, `kubectl wait --for=condition=Ready pod/${pod} --timeout=20s`)

/** On kind-worker, without asking the scheduler. */
const pod = (name: string, spec: object, container: object): object => ({
  kind: 'Pod',
  metadata: { name },
  spec: {
    nodeName: 'kind-worker',
    terminationGracePeriodSeconds: 1,
    ...spec,
    containers: [{ name: 'main', image: 'busybox', ...container }],
  },
})

describe('pods of the lab', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-pods')
  const run = (command: string): Promise<string> => type(lab.state(), command)

  test('a pod in its node’s network runs before any network plugin is there', async () => {
    const command = ['sh', '-c', 'echo hello from $WHERE; exec sleep 1000']
    const env = [{ name: 'WHERE', valueFrom: { fieldRef: { fieldPath: 'spec.nodeName' } } }]
    await apply(lab.state(), pod('on-host', { hostNetwork: true }, { command, env }))
    await isReady(lab.state(), 'on-host')
    assert.match(await run('kubectl exec on-host -- ip -br address show dev eth0'), /172\.18\.0\.2\/16/)
    assert.equal(await run('kubectl logs on-host'), 'hello from kind-worker')
  })

  test('exec forwards input, both outputs and the exit code', async () => {
    const command = [
      'bash',
      '-c',
      `echo typed | kubectl exec -i on-host -- sh -c 'cat; echo wrong >&2; exit 7'`,
    ]
    const { code, output } = await exec(lab.state(), command)
    assert.equal(code, 7)
    assert.match(output, /typed/)
    assert.match(output, /wrong/)
  })

  test('exec into a container that has ended says so', async () => {
    const ended = { name: 'ended', image: 'busybox', command: ['true'] }
    const both = pod(
      'half-ended',
      { hostNetwork: true, restartPolicy: 'Never' },
      { command: ['sleep', '1000'] },
    )
    const { spec } = both as { spec: { containers: object[] } }
    spec.containers.push(ended)
    await apply(lab.state(), both)
    const phase = `kubectl get pod half-ended -o jsonpath='{.status.containerStatuses[*].state.terminated.reason}'`
    await eventually('it has ended', async () => (await run(phase)) === 'Completed')
    const answer = await run('kubectl exec half-ended -c ended -- true 2>&1 || true')
    assert.match(answer, /container ended of pod default\/half-ended is not running/)
    await run('kubectl delete pod half-ended --wait=false')
  })

  test('a terminal in a pod has the size of the user’s terminal', async () => {
    const inside = `kubectl exec -it on-host -- sh -c "sleep 1; stty size"`
    const answer = await run(`script -qec 'stty rows 33 cols 111; ${inside}' /dev/null </dev/null`)
    assert.match(answer, /33 111/)
  })

  test('a log is followed until its container ends', async () => {
    const command = ['sh', '-c', 'echo first; sleep 1; echo last']
    await apply(lab.state(), pod('brief', { hostNetwork: true, restartPolicy: 'Never' }, { command }))
    await eventually('it prints', async () =>
      (await run('kubectl logs brief 2>&1 || true')).includes('first'),
    )
    assert.equal(await run('timeout 10 kubectl logs -f brief'), 'first\nlast')
    assert.equal(await run('kubectl get pod brief -o jsonpath={.status.phase}'), 'Succeeded')
  })

  test('a changed ConfigMap reaches mounted files, and an emptyDir outlives its container', async () => {
    const configMap = (text: string): object => ({
      kind: 'ConfigMap',
      metadata: { name: 'told' },
      data: { text },
    })
    await apply(lab.state(), configMap('one'))
    const volumes = [
      { name: 'told', configMap: { name: 'told' } },
      { name: 'aside', emptyDir: {} },
    ]
    const volumeMounts = [
      { name: 'told', mountPath: '/etc/told' },
      { name: 'aside', mountPath: '/run/aside' },
    ]
    await apply(
      lab.state(),
      pod('with-files', { hostNetwork: true, volumes }, { volumeMounts, command: ['sleep', '1000'] }),
    )
    await isReady(lab.state(), 'with-files')
    assert.equal(await run('kubectl exec with-files -- cat /etc/told/text'), 'one')
    await apply(lab.state(), configMap('two'))
    await eventually(
      'the file has changed',
      async () => (await run('kubectl exec with-files -- cat /etc/told/text')) === 'two',
    )
    await run(`kubectl exec with-files -- sh -c 'mkdir /run/aside/folder; echo kept >/run/aside/folder/file'`)
    await run(`docker exec kind-worker pkill -9 -f '^sleep 1000$' || true`)
    await eventually(
      'its container was started again',
      async () =>
        (await run(
          `kubectl get pod with-files -o 'jsonpath={.status.containerStatuses[0].restartCount} {.status.conditions[?(@.type=="Ready")].status}'`,
        )) === '1 True',
    )
    assert.equal(await run('kubectl exec with-files -- cat /run/aside/folder/file'), 'kept')
  })

  test('a mount that would create a folder on this machine is refused with the reason', async () => {
    const volumes = [{ name: 'data', emptyDir: {} }]
    const volumeMounts = [{ name: 'data', mountPath: '/no-such-folder' }]
    await apply(lab.state(), pod('astray', { hostNetwork: true, volumes }, { volumeMounts }))
    const message = `kubectl get pod astray -o 'jsonpath={.status.containerStatuses[0].state.waiting.message}'`
    await eventually('it says why', async () => /no-such-folder does not exist/.test(await run(message)))
    assert.match(
      await run('kubectl describe pod astray'),
      /Warning +Failed .*Error: .*no-such-folder does not exist/,
    )
  })

  test('a container whose liveness probe fails is restarted', async () => {
    const livenessProbe = {
      exec: { command: ['test', '-e', '/run/alive'] },
      periodSeconds: 1,
      failureThreshold: 2,
    }
    const command = ['sh', '-c', 'touch /run/alive; exec sleep 2000']
    await apply(lab.state(), pod('frail', { hostNetwork: true }, { livenessProbe, command }))
    await isReady(lab.state(), 'frail')
    await run('kubectl exec frail -- rm /run/alive')
    await eventually(
      'it was started again',
      async () =>
        (await run(`kubectl get pod frail -o 'jsonpath={.status.containerStatuses[0].restartCount}'`)) ===
        '1',
    )
  })

  test('a failing container reports its termination message and backs off', async () => {
    const command = ['sh', '-c', 'echo no gateway >/dev/termination-log; exit 3']
    await apply(lab.state(), pod('failing', { hostNetwork: true }, { command }))
    const status = `kubectl get pod failing -o 'jsonpath={.status.containerStatuses[0]}'`
    type Terminated = { exitCode: number; reason: string; message: string }
    type Status = { state: { waiting?: { reason: string } }; lastState: { terminated?: Terminated } }
    let said: Status | undefined
    await eventually('it waits for its next start', async () => {
      said = JSON.parse(await run(status)) as Status
      return said.state.waiting?.reason === 'CrashLoopBackOff'
    })
    const { exitCode, reason, message } = said?.lastState.terminated ?? {}
    assert.deepEqual([exitCode, reason, message], [3, 'Error', 'no gateway\n'])
    assert.match(await run('kubectl describe pod failing'), /Warning +BackOff .*Back-off restarting failed/)
    assert.equal(existsSync('/dev/termination-log'), false, 'the machine’s own devices stay as they are')
  })

  test('a startup probe ends a start that hangs and says why', async () => {
    const startupProbe = { exec: { command: ['sh', '-c', 'echo stuck at maps; false'] }, periodSeconds: 1 }
    await apply(lab.state(), pod('stuck', { hostNetwork: true }, { startupProbe }))
    const status = `kubectl get pod stuck -o 'jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].started}'`
    await eventually('it was started again', async () => /^[1-9]\d* false$/.test(await run(status)))
    const told = await run('kubectl describe pod stuck')
    assert.match(told, /Warning +Unhealthy .*Startup probe failed: stuck at maps/)
    assert.match(told, /Normal +Killing .*failed startup probe, will be restarted/)
    await run('kubectl delete pod failing stuck --grace-period=1')
  })

  test('a pod waits for a missing volume, and its event names the volume', async () => {
    const volumes = [{ name: 'late', secret: { secretName: 'late' } }]
    const volumeMounts = [{ name: 'late', mountPath: '/etc/late' }]
    await apply(lab.state(), pod('waits', { hostNetwork: true, volumes }, { volumeMounts }))
    const event =
      /Warning +FailedMount .*MountVolume.SetUp failed for volume "late" : secret "late" not found/
    await eventually('it says why', async () => event.test(await run('kubectl describe pod waits')))
    const waiting = `kubectl get pod waits -o 'jsonpath={.status.containerStatuses[0].state.waiting}'`
    assert.equal(await run(waiting), '{"reason":"ContainerCreating"}')
    await run('kubectl create secret generic late --from-literal=word=here')
    await isReady(lab.state(), 'waits')
    assert.equal(await run('kubectl exec waits -- cat /etc/late/word'), 'here')
  })

  test('a node with a CNI plugin is Ready, and a pod starts in the network that ADD made', async () => {
    await run(
      `docker exec kind-worker sh -c 'cat >/opt/cni/bin/plain; chmod +x /opt/cni/bin/plain; ln -s /usr/lib/cni/loopback /opt/cni/bin/' <<'END'\n${plugin}\nEND`,
    )
    await run(
      `docker exec kind-worker sh -c 'cat >/etc/cni/net.d/10-test.conflist' <<'END'\n${conflist}\nEND`,
    )
    await run('kubectl wait --for=condition=Ready node/kind-worker --timeout=20s')
    await run(
      'kubectl run alone --image docker.io/tgraf/netperf --overrides \'{"spec":{"nodeName":"kind-worker"}}\'',
    )
    await isReady(lab.state(), 'alone')
    assert.equal(await run('kubectl get pod alone -o jsonpath={.status.podIP}'), '10.244.2.9')
    assert.match(await run('kubectl exec alone -- ip -br address show dev eth0'), /10\.244\.2\.9/)
    assert.match(await run('docker exec kind-worker cat /run/plugin.calls'), /ADD eth0 .*K8S_POD_NAME=alone;/)
  })

  test('pods survive a kubelet restart, and the next kubelet manages them', async () => {
    const first = 'kubectl exec alone -- readlink /proc/self/ns/net'
    const before = await run(first)
    await restartKubelet(lab.state().name, 'kind-worker')
    await eventually(
      'exec works again',
      async () => (await exec(lab.state(), ['bash', '-c', first])).code === 0,
    )
    assert.equal(await run(first), before)
    const restarts = `kubectl get pod alone -o 'jsonpath={.status.containerStatuses[0].restartCount}'`
    assert.equal(await run(restarts), '0')
  })

  test('the kubelet calls DEL for a deleted pod', async () => {
    await run('kubectl delete pod alone --wait=true')
    assert.match(await run('docker exec kind-worker cat /run/plugin.calls'), /DEL eth0 .*K8S_POD_NAME=alone;/)
    assert.equal(await run('docker exec kind-worker ls /run/netns'), '')
  })
})
