import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import type { EgressAddress, PortLease } from '../../src/api/egress-address.ts'
import type { LabState } from '../../src/lab/lab-state.ts'
import {
  cannotRun,
  curlOutpost,
  eventually,
  hangTimeoutMs,
  labFor,
  processesOf,
  seenByOutpost,
  type,
} from './lab-under-test.ts'

const opener = new URL('open-connections.ts', import.meta.url).pathname
const results = '/run/open-connections.json'
/** What a node has of every egress IP without asking: four blocks. */
const floorPorts = 64

interface Result {
  readonly opened: number
  readonly failures: readonly string[]
  readonly openedMs: { readonly half?: number; readonly most?: number; readonly all?: number }
  readonly addresses: Readonly<Record<string, number>>
}

/** A pod opens connections to the outpost, all at the same moment, and holds them until all are open. */
async function startOpening(state: LabState, pod: string, count: number, seconds = 60): Promise<void> {
  const command = `${process.execPath} ${opener} 172.18.0.7 8000 ${count} ${seconds} >${results}.part; mv ${results}.part ${results}`
  await type(state, `kubectl exec ${pod} -- sh -c 'rm -f ${results}; (${command}) 2>&1 </dev/null &'`)
}

async function resultOf(state: LabState, pod: string): Promise<Result> {
  const read = `kubectl exec ${pod} -- sh -c 'cat ${results} 2>/dev/null || true'`
  await eventually('all connections are done', async () => (await type(state, read)) !== '', 150_000)
  return JSON.parse(await type(state, read)) as Result
}

async function leasesOf(state: LabState): Promise<EgressAddress['spec']['leases']> {
  const text = await type(state, 'kubectl get egressaddress 172-18-0-42 -o json 2>/dev/null || echo {}')
  return (JSON.parse(text) as Partial<EgressAddress>).spec?.leases ?? []
}

const slotOf = async (state: LabState, node: string): Promise<number> =>
  Number(await type(state, `kubectl get egressnode ${node} -o jsonpath={.spec.slot}`))

const portsOf = async (state: LabState, slot: number): Promise<number> =>
  (await leasesOf(state))?.reduce((sum, lease) => sum + (lease.slot === slot ? lease.blocks * 16 : 0), 0) ?? 0

/** What nobody has leased, in one test. */
const leftPorts = 128

/** Nearly all that can be leased: what lies before the floors, and the floors that no node has or gets next. */
function nearlyEverythingFor(slot: number): readonly PortLease[] {
  const kept = 5 + 32
  return [
    { firstPort: 1024 + leftPorts, blocks: 1984 - leftPorts / 16, slot },
    { firstPort: 32768 + kept * floorPorts, blocks: (512 - kept) * 4, slot },
  ]
}

/** As somebody does it who edits the object. */
async function lease(state: LabState, leases: readonly PortLease[]): Promise<void> {
  const object = {
    apiVersion: 'sallyport.dev/v1alpha1',
    kind: 'EgressAddress',
    metadata: { name: '172-18-0-42' },
    spec: { address: '172.18.0.42', leases },
  }
  await type(state, `echo '${JSON.stringify(object)}' | kubectl apply -f -`)
}

/** When each thing that was asked for was in use, as the agent says. */
async function grantTimes(state: LabState): Promise<readonly number[]> {
  const logs = await type(
    state,
    'for pod in $(kubectl -n kube-system get pods -o name | grep -v operator); do kubectl -n kube-system logs $pod; done',
  )
  return logs
    .split('\n')
    .filter((line) => line.includes('"ports leased"'))
    .map((line) => (JSON.parse(line) as { readonly tookMs: number }).tookMs)
}

/** The process that leads, as its Lease says. */
async function leaderOf(state: LabState): Promise<{ readonly pid: number; readonly identity: string }> {
  const identity = await type(
    state,
    'kubectl -n kube-system get lease sallyport-operator -o jsonpath={.spec.holderIdentity}',
  )
  const pod = identity.slice(0, identity.lastIndexOf('_'))
  const all = await Promise.all(
    state.nodes.map(({ name }) => processesOf(state, name, 'src/operator/main.ts')),
  )
  const pid = all
    .flat()
    .find((each) => readFileSync(`/proc/${each}/environ`, 'utf8').split('\0').includes(`POD_NAME=${pod}`))
  assert.ok(pid !== undefined, `no process is ${identity}`)
  return { pid, identity }
}

/** More connections to one destination than a node’s floor has ports. */
describe('ports by lease', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-leases', { story: { until: 'the policy' } })

  test('a scarcity of ports causes Events, and connections without a port wait and never use another address', async (t) => {
    const state = lab.state()
    t.after(() => lease(state, []))
    const { '172.18.0.42': _, ...seenBefore } = await seenByOutpost(state)
    const isTold = async (reason: string): Promise<boolean> =>
      (await type(state, 'kubectl get events -o jsonpath={.items[*].reason}')).split(' ').includes(reason)
    /* For a slot that no node has: a node would return what it does not use. */
    await lease(state, nearlyEverythingFor(500))
    await eventually('an event says that few are left', () => isTold('FewPortsLeft'))
    assert.equal(await isTold('NoPortsLeft'), false)

    await startOpening(state, 'xwing', 500, 20)
    await eventually('drops are counted by policy and egress IP', async () =>
      /refused_flows_total\{policy="CiliumEgressGatewayPolicy\/outpost",egress_ip="172.18.0.42",verdict="DROP_NO_FREE_PORT"\} [1-9]/.test(
        await type(state, 'docker exec kind-worker curl -s http://127.0.0.1:9787/metrics'),
      ),
    )
    await eventually('an event names the pod that has most', () => isTold('PodHoldsMost'))
    const elsewhere = `kubectl exec xwing -- sh -c 'curl -s --max-time 2 http://172.18.0.7:8001; echo $?'`
    assert.equal(await type(state, elsewhere), '7', 'another port of the server is reached, and refuses')
    assert.match(await type(state, `kubectl exec ywing -- ${curlOutpost}`), /172\.18\.0\.42/)

    const { opened, failures, addresses } = await resultOf(state, 'xwing')
    assert.ok(opened > floorPorts && opened <= floorPorts + leftPorts, `${opened} are open`)
    assert.deepEqual(failures, ['was not open in time'])
    assert.deepEqual(addresses, { '172.18.0.42': opened })
    const { '172.18.0.42': __, ...seenAfter } = await seenByOutpost(state)
    assert.deepEqual(seenAfter, seenBefore)
  })

  test('a pod opens thirty times as many connections as the floor has ports', async (t) => {
    const state = lab.state()
    await startOpening(state, 'xwing', 2000)
    const { opened, failures, openedMs, addresses } = await resultOf(state, 'xwing')
    t.diagnostic(
      `open after ${JSON.stringify(openedMs)} ms; grants took ${(await grantTimes(state)).join(', ')} ms`,
    )
    assert.deepEqual(failures, [])
    assert.equal(opened, 2000)
    assert.deepEqual(addresses, { '172.18.0.42': 2000 })
  })

  test('the EgressAddress names the owners of leased ports', async () => {
    const state = lab.state()
    const ports = await portsOf(state, await slotOf(state, 'kind-worker'))
    assert.ok(ports + floorPorts >= 2000, `${ports} ports by lease`)
    const owner = await type(state, 'kubectl get egressaddress 172-18-0-42 -o jsonpath={.spec.owner}')
    assert.equal(owner, 'kind-worker3')
  })

  test('pods of another node use that node’s floor', async () => {
    const state = lab.state()
    assert.match(await type(state, `kubectl exec ywing -- ${curlOutpost}`), /172\.18\.0\.42/)
    assert.equal(await portsOf(state, await slotOf(state, 'kind-worker2')), 0)
  })

  test('the standby operator grants ports when the leader is killed during a demand', async () => {
    const state = lab.state()
    const slots = 'kubectl get egressnodes -o jsonpath="{range .items[*]}{.metadata.name}={.spec.slot} {end}"'
    const slotsBefore = await type(state, slots)
    const ofXwing = await slotOf(state, 'kind-worker')
    const portsBefore = await portsOf(state, ofXwing)
    const { pid, identity } = await leaderOf(state)
    process.kill(pid, 'SIGKILL')
    await startOpening(state, 'ywing', 800)
    const { opened, failures, addresses } = await resultOf(state, 'ywing')
    assert.deepEqual([opened, failures], [800, []])
    assert.deepEqual(addresses, { '172.18.0.42': 800 })
    assert.equal(await type(state, slots), slotsBefore)
    assert.ok((await portsOf(state, ofXwing)) >= portsBefore)
    assert.notEqual((await leaderOf(state)).identity, identity)
  })

  test('restarted operators grant ports that were demanded meanwhile', async (t) => {
    const state = lab.state()
    const operators = (
      await Promise.all(state.nodes.map(({ name }) => processesOf(state, name, 'src/operator/main.ts')))
    ).flat()
    assert.ok(operators.length >= 2)
    for (const pid of operators) process.kill(pid, 'SIGKILL')
    await startOpening(state, 'ywing', 3000)
    const { opened, failures, openedMs, addresses } = await resultOf(state, 'ywing')
    t.diagnostic(`open after ${JSON.stringify(openedMs)} ms`)
    assert.deepEqual([opened, failures], [3000, []])
    assert.deepEqual(addresses, { '172.18.0.42': 3000 })
  })

  test('a restarted agent keeps its node’s leases', async () => {
    const state = lab.state()
    const slot = await slotOf(state, 'kind-worker')
    const before = await portsOf(state, slot)
    const killed = await processesOf(state, 'kind-worker', 'src/agent/main.ts')
    for (const pid of killed) process.kill(pid, 'SIGKILL')
    await startOpening(state, 'xwing', 1000)
    const { opened, openedMs } = await resultOf(state, 'xwing')
    assert.equal(opened, 1000)
    assert.ok(openedMs.most !== undefined)
    assert.ok((await portsOf(state, slot)) >= before)
  })
})
