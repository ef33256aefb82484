import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { describe, test } from 'node:test'
import { firstHalf, steps } from '../../src/lab/walkthrough/steps.ts'
import { walk } from '../../src/lab/walkthrough/walk.ts'
import { cannotRun, hangTimeoutMs, labFor, runtime, type } from './lab-under-test.ts'

/*
 * The second half is about policies and gateways, and its commands are those of the first. What runs the containers makes no difference
 * to it. So `make test` walks it with one runtime, and `make test-all` with both.
 */
const story = runtime === 'processes' || process.env.SALLYPORT_TEST_STORY === 'whole' ? steps : firstHalf

/** The user's document, command by command, against the real operator, agents and datapath. */
describe('the walkthrough', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-walkthrough')

  test('every command gives the answer that the document has', async (context) => {
    for await (const { step, answer, problem } of walk(lab.state(), story, context.signal))
      await context.test(`${step.section}: ${step.title}`, () => {
        assert.equal(problem, undefined, `${step.command}\n${answer.text}`)
      })
  })

  test('"kubectl describe" says where a pod was scheduled and that it started', async () => {
    const told = await type(lab.state(), 'kubectl describe pod xwing')
    assert.match(told, /Normal +Scheduled .*Successfully assigned default\/xwing to kind-worker/)
    assert.match(told, /Normal +Started .*Container started/)
  })

  test('a pod has its own /tmp and does not see the files of its kubelet and of the lab', async () => {
    const hidden = '/run/kubelet /var/lib/sallyport-lab/*/lab.json /var/lib/sallyport-lab/*/tokens.csv'
    const look = `echo written >/tmp/by-a-pod; ls ${hidden} 2>/dev/null`
    /* A process has an empty folder in its place, a container has no such folder. */
    const seen = runtime === 'containerd' ? '' : '/run/kubelet:'
    assert.equal(await type(lab.state(), `kubectl exec xwing -- sh -c '${look}; true'`), seen)
    assert.match(await type(lab.state(), 'kubectl exec xwing -- ls /tmp'), /^by-a-pod$/m)
    assert.equal(existsSync('/tmp/by-a-pod'), false)
    assert.equal(await type(lab.state(), 'docker exec kind-worker ls /tmp/by-a-pod 2>&1 || true'), "ls: cannot access '/tmp/by-a-pod': No such file or directory")
  }) // biome-ignore format: one a line
})
