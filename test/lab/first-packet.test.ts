import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { cannotRun, eventually, labFor, processesOf, seenByOutpost, type } from './lab-under-test.ts'
import { someNodes } from './story.ts'

const startPods = `node ${import.meta.dirname}/start-pods.ts`
const workers = ['kind-worker', 'kind-worker2']
const egressIp = '172.18.0.42'

/** Each pod costs a second of this machine's CPUs. `make test-all` starts 1,000. */
const pods = Number(process.env.SALLYPORT_TEST_PODS ?? 50)

/** A pod that a policy selects never leaves with another address, from its first packet on. */
describe('the first packet of a pod', { skip: cannotRun, timeout: 2_400_000 }, () => {
  const lab = labFor('test-first-packet', {
    nodes: someNodes('kind-worker', 'kind-worker2', 'kind-worker3'),
    story: { until: 'the policy' },
  })

  test(`the first packet of each of ${pods} pods uses the egress IP`, async () => {
    const state = lab.state()
    const before = await seenByOutpost(state)
    await type(state, `${startPods} ${pods} 4`)
    const after = await seenByOutpost(state)
    assert.equal(
      (after[egressIp] ?? 0) - (before[egressIp] ?? 0),
      pods,
      'every pod has called, with the egress IP',
    )
    assert.deepEqual({ ...after, [egressIp]: 0 }, { ...before, [egressIp]: 0 }, 'no other address was seen')
  })

  test('pods wait while the agents are stopped, send nothing, and start afterwards', async () => {
    const state = lab.state()
    const agents = (
      await Promise.all(workers.map((node) => processesOf(state, node, 'src/agent/main.ts')))
    ).flat()
    assert.ok(agents.length >= workers.length, 'the agents were found')
    const before = await seenByOutpost(state)
    for (const pid of agents) process.kill(pid, 'SIGSTOP')
    const starting = type(state, `${startPods} 4 4`)
    await setTimeout(3_000)
    assert.deepEqual(await seenByOutpost(state), before, 'nothing has left')
    for (const pid of agents) process.kill(pid, 'SIGCONT')
    await starting
    await eventually('all of them have called with the egress IP', async () => {
      const after = await seenByOutpost(state)
      return (after[egressIp] ?? 0) - (before[egressIp] ?? 0) === 4
    })
  })
})
