import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { startLab, stopLab } from '../../src/lab/lab.ts'
import { listLabs, requireLab } from '../../src/lab/lab-state.ts'
import { isRunning } from '../../src/lab/machines/machine.ts'
import { cannotRun, eventually, hangTimeoutMs, labFor, type } from './lab-under-test.ts'
import { someNodes } from './story.ts'

describe('the lab', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-lab')

  /* The node is declared lost after 40 seconds, as in a real cluster. Labs come and go meanwhile. */
  describe('what takes long', { concurrency: true }, () => {
    test('a node whose kubelet stops reporting becomes Unknown', async () => {
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

    describe('labs beside this one', { concurrency: 1 }, () => {
      test('two labs run side by side, each with its own cluster', async () => {
        const other = await startLab({ name: 'test-lab-2', nodes: someNodes('kind-worker') })
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

      test('a deleted lab leaves no process, no cgroup and no file', async () => {
        const state = await startLab({ name: 'test-lab-3', nodes: someNodes('kind-worker') })
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

      test('an interrupted start leaves nothing', async () => {
        const interrupted = new AbortController()
        const started = startLab({
          name: 'test-lab-4',
          nodes: someNodes('kind-worker'),
          signal: interrupted.signal,
          onProgress: (step) => {
            if (step !== 'API server') return
            assert.throws(() => requireLab('test-lab-4'), /the lab test-lab-4 is still starting/)
            interrupted.abort(new Error('enough'))
          },
        })
        await assert.rejects(started, /enough/)
        assert.equal(listLabs().includes('test-lab-4'), false)
        assert.equal(existsSync(lab.state().cgroup.replace(/test-lab$/, 'test-lab-4')), false)
      })
    })
  })

  test('this machine’s network has no route into the lab', () => {
    const routes = readFileSync('/proc/net/route', 'utf8')
    assert.equal(/\b000012AC\b/.test(routes), false, 'no route to 172.18.0.0/16')
    assert.deepEqual(
      readdirSync('/sys/class/net').filter((name) => /kind|veth/.test(name)),
      [],
    )
  })

  test('a paused node is frozen and continues when it is unpaused', async () => {
    const state = lab.state()
    await type(state, 'docker pause kind-worker4')
    assert.match(await type(state, 'docker ps'), /Up \(Paused\).*kind-worker4/)
    assert.match(await type(state, 'docker exec kind-worker4 true 2>&1 || true'), /is paused, unpause/)
    await type(state, 'docker unpause kind-worker4')
    assert.equal(await type(state, 'docker exec kind-worker4 hostname'), 'kind-worker4')
  })

  test('a pause of the control plane stops the API server', async () => {
    const ask = 'kubectl get ns default -o name --request-timeout=1s'
    await type(lab.state(), 'docker pause kind-control-plane')
    assert.match(await type(lab.state(), `${ask} 2>&1 || true`), /Timeout|deadline exceeded/i)
    await type(lab.state(), 'docker unpause kind-control-plane')
    assert.equal(await type(lab.state(), 'kubectl get ns default -o name'), 'namespace/default')
  })

  test('nodes and containers have their own /tmp and do not see the lab’s files', async () => {
    await type(lab.state(), 'docker run -d --name curious --network kind busybox')
    for (const name of ['kind-worker', 'curious']) {
      await type(lab.state(), `docker exec ${name} sh -c 'echo written >/tmp/by-${name}'`)
      assert.equal(existsSync(`/tmp/by-${name}`), false)
      assert.equal(await type(lab.state(), `docker exec ${name} sh -c 'ls -A /var/lib/sallyport-lab/*'`), 'bin\nnode-bin')
    }
    await type(lab.state(), 'docker rm -f curious')
  }) // biome-ignore format: one a line

  test('no process has a token in its arguments', () => {
    const state = lab.state()
    const running = readdirSync('/proc').flatMap((pid) => {
      try {
        return [readFileSync(`/proc/${pid}/cmdline`, 'utf8')]
      } catch {
        return []
      }
    })
    assert.ok(running.some((words) => words.includes('kubelet/main.ts')))
    for (const [name, token] of Object.entries(state.tokens))
      assert.equal(running.some((words) => words.includes(token)), false, name)
  }) // biome-ignore format: one a line

  test('a pod that cannot be scheduled says why and can be deleted', async () => {
    const state = lab.state()
    await type(state, 'kubectl run waiting --image busybox')
    const described = (): Promise<string> => type(state, 'kubectl describe pod waiting')
    await eventually('it is told', async () =>
      /Warning +FailedScheduling.*0\/5 nodes are available/.test(await described()),
    )
    const nowhere = { nodeName: 'nowhere', containers: [{ name: 'a', image: 'busybox' }] }
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'nowhere' }, spec: nowhere }
    await type(state, `kubectl create -f - <<<'${JSON.stringify(pod)}'`)
    await type(state, 'kubectl delete pod waiting nowhere --timeout=20s')
  })

  test('status and list have JSON output, and a missing lab is an exit code', async () => {
    const sallyport = (words: string) => type(lab.state(), `sallyport lab ${words}`)
    const { machines, daemons } = JSON.parse(await sallyport('status --name test-lab -o json'))
    assert.deepEqual(new Set([...machines, ...daemons].map(({ state }) => state)), new Set(['running']))
    assert.match(await sallyport('list'), /^test-lab$/m)
    assert.equal(await sallyport('status --name test-lab-5 2>&1 || echo $?'), 'sallyport: there is no lab named test-lab-5: start one with "sallyport lab up --name test-lab-5"\n1')
    assert.equal(await sallyport('exec --name test-lab sh -c "exit 7" || echo $?'), '7')
    assert.equal(await sallyport('down --name test-lab-5'), 'There is no lab named test-lab-5.')
  }) // biome-ignore format: one a line

  test('a script piped into the shell prints its answers and nothing else', async () => {
    const script = 'sallyport lab shell --name test-lab <<<"kubectl get ns default -o name" 2>&1'
    assert.equal(await type(lab.state(), script), 'namespace/default')
  })

  test('"docker ps" ends silently when the reader of its pipe closes', async () => {
    assert.match(await type(lab.state(), 'docker ps 2>&1 | head -1'), /^CONTAINER ID.*NAMES$/)
    const ids = (await type(lab.state(), 'docker ps -q')).split('\n')
    assert.equal(new Set(ids).size, ids.length)
  })

  test('"docker ps" distinguishes exited from running containers, and "rm" removes running ones only by force', async () => {
    const run = (words: string) => type(lab.state(), `docker ${words} 2>&1 || true`)
    assert.match(await run('run -d --name we/ird busybox'), /Invalid container name \(we\/ird\)/)
    await run('run -d --name short --network kind busybox echo said')
    await run('run -d --name long --network kind busybox')
    await eventually('it has ended', async () => /Exited .* short$/m.test(await run('ps -a')))
    assert.doesNotMatch(await run('ps'), /short|we.ird/)
    assert.equal(await run('logs short'), 'said')
    assert.equal(await run('rm short'), 'short')
    assert.match(await run('rm long'), /container is running: stop the container before removing/)
    assert.match(await run('stop long && docker start long && docker exec long hostname -I'), /^long\nlong\n172\.18\.0\.8 /)
    assert.equal(await run('rm -f long'), 'long')
    assert.match(await run('stop kind-worker'), /is a node of the lab/)
    assert.match(await run('frobnicate'), /^error: unknown command 'frobnicate'\n\("docker --help" lists/)
  }) // biome-ignore format: one a line

  test('"docker inspect" fills the walkthrough’s template with a container’s address', async () => {
    const state = requireLab('test-lab')
    await type(
      state,
      'docker run -d --name outpost --network kind quay.io/isovalent-dev/egressgw-whatismyip:latest',
    )
    const template = '{{range.NetworkSettings.Networks}}{{.IPAddress}}{{end}}'
    assert.equal(await type(state, `docker inspect -f '${template}' outpost`), '172.18.0.7')
    await type(state, 'docker rm -f outpost')
  })

  test('an unknown image causes an error that lists the known ones', async () => {
    const state = lab.state()
    assert.match(
      await type(state, 'docker run -d example.org/nothing 2>&1 || true'),
      /cannot pull example.org\/nothing: use one of/,
    )
  })
})
