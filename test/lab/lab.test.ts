import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { startLab, stopLab } from '../../src/lab/lab.ts'
import { listLabs, requireLab } from '../../src/lab/lab-state.ts'
import { isRunning } from '../../src/lab/machine.ts'
import { cannotRun, eventually, labFor, type } from './lab-under-test.ts'

describe('the lab', { skip: cannotRun, timeout: 240_000 }, () => {
  const lab = labFor('test-lab')

  test('two labs run side by side, each with its own cluster', async () => {
    const other = await startLab({ name: 'test-lab-2' })
    try {
      await type(
        other,
        'kubectl create -f - <<< \'{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"only-here"}}\'',
      )
      assert.equal(await type(other, 'kubectl get ns only-here -o name'), 'namespace/only-here')
      assert.equal(await type(lab.state(), 'kubectl get ns only-here -o name --ignore-not-found'), '')
    } finally {
      await stopLab('test-lab-2')
    }
  })

  test('what is taken away leaves nothing: no process, no cgroup, no file', async () => {
    const state = await startLab({ name: 'test-lab-3' })
    const processes = [
      ...Object.values(state.daemons),
      ...state.nodes.map(({ machine }) => machine.init),
      state.host!.init,
    ]
    await stopLab('test-lab-3')
    assert.deepEqual(processes.filter(isRunning), [])
    assert.equal(existsSync(state.cgroup), false)
    assert.equal(listLabs().includes('test-lab-3'), false)
  })

  test('a start that is interrupted half-way leaves nothing either', async () => {
    const interrupted = new AbortController()
    const started = startLab({
      name: 'test-lab-4',
      signal: interrupted.signal,
      onProgress: (step) => {
        if (step === 'API server') interrupted.abort(new Error('enough'))
      },
    })
    await assert.rejects(started, /enough/)
    assert.equal(listLabs().includes('test-lab-4'), false)
    assert.equal(existsSync(lab.state().cgroup.replace(/test-lab$/, 'test-lab-4')), false)
  })

  test('a node whose kubelet is silent is known to be so', async () => {
    const state = lab.state()
    const lease = 'kubectl -n kube-node-lease get lease kind-worker2 -o jsonpath={.spec.renewTime}'
    const before = Date.parse(await type(state, lease))
    await eventually('the lease is renewed', async () => Date.parse(await type(state, lease)) > before)
    await type(state, 'docker pause kind-worker2')
    const ready = `kubectl get node kind-worker2 -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'`
    await eventually('it is Unknown', async () => (await type(state, ready)) === 'Unknown', 70_000)
    await type(state, 'docker unpause kind-worker2')
    await eventually('and known again', async () => (await type(state, ready)) === 'False')
  })

  test('this machine’s own network has no way into it', () => {
    const routes = readFileSync('/proc/net/route', 'utf8')
    assert.equal(/\b000012AC\b/.test(routes), false, 'no route to 172.18.0.0/16')
    assert.deepEqual(
      readdirSync('/sys/class/net').filter((name) => /kind|veth/.test(name)),
      [],
    )
  })

  test('a paused node is frozen, and unpaused it goes on', async () => {
    const state = lab.state()
    await type(state, 'docker pause kind-worker4')
    assert.match(await type(state, 'docker ps'), /Up \(Paused\).*kind-worker4/)
    assert.match(await type(state, 'docker exec kind-worker4 true 2>&1 || true'), /is paused, unpause/)
    await type(state, 'docker unpause kind-worker4')
    assert.equal(await type(state, 'docker exec kind-worker4 hostname'), 'kind-worker4')
  })

  test('a container’s network is told by the template that the walkthrough uses', async () => {
    const state = requireLab('test-lab')
    await type(
      state,
      'docker run -d --name outpost --network kind quay.io/isovalent-dev/egressgw-whatismyip:latest',
    )
    const template = '{{range.NetworkSettings.Networks}}{{.IPAddress}}{{end}}'
    assert.equal(await type(state, `docker inspect -f '${template}' outpost`), '172.18.0.7')
    await type(state, 'docker rm -f outpost')
  })

  test('an image that the lab does not know is explained', async () => {
    const state = lab.state()
    assert.match(
      await type(state, 'docker run -d example.org/nothing 2>&1 || true'),
      /cannot pull example.org\/nothing; it knows/,
    )
  })
})
