import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { FlowRow } from '../../src/agent/api/flows/flow-row.ts'
import type { FlowRecord, NatLogLine } from '../../src/agent/api/nat-log/nat-log-row.ts'
import { exec } from '../../src/lab/shell.ts'
import {
  cannotRun,
  curlOutpost,
  eventually,
  hangTimeoutMs,
  labFor,
  processesOf,
  type,
} from './lab-under-test.ts'
import { someNodes } from './story.ts'

const connections = 12

describe('the NAT log of a cluster', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-nat-log', {
    nodes: someNodes('kind-worker', 'kind-worker3'),
    story: {
      until: 'the policy',
      settings: ['natLog.enabled=true', 'natLog.destinations=true', 'egressGateway.portLeaseIdleTime=1s'],
    },
  })

  test('knows who had each port after the pod is gone and the agent was killed', async () => {
    const state = lab.state()
    await type(state, `kubectl exec xwing -- sh -c 'for i in $(seq ${connections}); do ${curlOutpost}; done'`)
    /* Every flow that is listed later has the port at this time. */
    const at = new Date().toISOString()
    const open = (await type(state, 'sallyport flows --pod default/xwing --policy outpost -o json'))
      .split('\n')
      .map((line) => (JSON.parse(line) as FlowRow).flow?.egress ?? '')
    /* A closed connection may have given its port to a later one. */
    assert.ok(open.length > connections / 2, `${open.length} ports`)
    assert.equal((await who(open[0] ?? '', at)).length, 1)

    await type(state, 'kubectl delete pod xwing --grace-period=1')
    const [agent] = await processesOf(state, 'kind-worker', 'src/agent/main.ts')
    assert.ok(agent !== undefined)
    process.kill(agent, 'SIGKILL')
    await eventually('all records are written', async () => (await records()).length >= connections)
    /* The killed agent may have written them all, so they do not show that the next one answers. */
    await eventually('the next agent answers', async () => {
      const { code } = await exec(state, ['docker', 'exec', 'kind-worker', 'sallyport', 'status'])
      return code === 0
    })
    const found = await records()
    assert.equal(found.length, connections)
    const ports = new Set(found.map(({ egressIP, egressPort }) => `${egressIP}:${egressPort}`))
    assert.deepEqual(
      open.filter((egress) => !ports.has(egress)),
      [],
    )
    for (const egress of open) {
      const rows = await who(egress, at)
      assert.deepEqual(
        rows.map(({ pod, policy, node }) => [pod, policy, node]),
        [['xwing', 'outpost', 'kind-worker']],
      )
    }
  })

  const who = async (egress: string, at: string): Promise<FlowRecord[]> =>
    JSON.parse(
      await type(lab.state(), `sallyport who ${egress} --at ${at} -o json 2>/dev/null`),
    ) as FlowRecord[]

  const records = async (): Promise<FlowRecord[]> =>
    (await type(lab.state(), 'docker exec kind-worker cat /var/log/sallyport/nat.log || true'))
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as NatLogLine)
      .filter((line): line is FlowRecord => line.kind === 'flow' && line.pod === 'xwing')
})
