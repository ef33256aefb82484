import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  cannotRun,
  curlOutpost,
  eventually,
  hangTimeoutMs,
  labFor,
  seenByOutpost,
  type,
} from './lab-under-test.ts'
import { someNodes } from './story.ts'

const policy = `apiVersion: isovalent.com/v1
kind: IsovalentEgressGatewayPolicy
metadata:
  name: pooled
spec:
  selectors:
    - podSelector:
        matchLabels:
          org: alliance
  destinationCIDRs:
    - 172.18.0.0/16
  egressGroups:
    - nodeSelector:
        matchLabels:
          egress-gw: "true"
      interface: net0
  egressCIDRs:
    - 172.18.200.0/29`

const pooled = ['172.18.200.1', '172.18.200.2'] as const
const gateways = ['kind-worker3', 'kind-worker4'] as const

/** Addresses of a pool: given by the operator, put on interfaces by the gateways, and taken away again. */
describe('a pool of egress IPs', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-pool', {
    nodes: someNodes('kind-worker', 'kind-worker3', 'kind-worker4'),
    story: { until: 'the outpost', settings: ['egressGateway.egressIPLingerTime=5s'] },
  })
  const run = (command: string): Promise<string> => type(lab.state(), command)
  const addressesOf = (node: string): Promise<string> =>
    run(`docker exec ${node} ip -br address show dev net0`)

  /** Which addresses the outpost sees of so many new connections. */
  async function newConnections(count: number): Promise<readonly string[]> {
    const before = await seenByOutpost(lab.state())
    await run(`kubectl exec xwing -- sh -c 'for i in $(seq ${count}); do ${curlOutpost}; done'`)
    const after = await seenByOutpost(lab.state())
    return Object.keys(after)
      .filter((address) => (after[address] ?? 0) > (before[address] ?? 0))
      .sort()
  }

  test('each gateway gets an address of the pool and puts it on the interface', async () => {
    await run(`kubectl apply -f - <<'END'\n${policy}\nEND`)
    await run('kubectl wait --for=condition=Ready iegp/pooled --timeout=20s')
    assert.deepEqual(
      JSON.parse(
        await run("kubectl get iegp pooled -o jsonpath='{.status.groupStatuses[0].egressIPByGatewayIP}'"),
      ),
      { '172.18.0.4': pooled[0], '172.18.0.3': pooled[1] },
    )
    await run('kubectl wait --for=condition=isovalent.com/IPAMRequestSatisfied iegp/pooled --timeout=5s')
    for (const [index, node] of gateways.entries())
      assert.match(await addressesOf(node), new RegExp(`${pooled[index]}/32`))
  })

  test('new connections use the addresses of the pool and no other', async () => {
    assert.deepEqual(await newConnections(30), pooled)
  })

  test('a node that stops being a gateway loses its address, and the other keeps its own', async () => {
    await run('kubectl label node kind-worker4 egress-gw-')
    await eventually(
      'new connections use the other',
      async () => (await newConnections(10)).join() === pooled[0],
    )
    await eventually(
      'the address goes',
      async () => !(await addressesOf('kind-worker4')).includes(pooled[1]),
      60_000,
    )
    assert.match(await addressesOf('kind-worker4'), /172\.18\.0\.43/, 'what was there before stays')
    assert.match(await addressesOf('kind-worker3'), new RegExp(`${pooled[0]}/32`))
    assert.deepEqual(await newConnections(10), [pooled[0]])
  })

  test('"kubectl describe" lists the Events of the pool', async () => {
    const described = await run('kubectl describe isovalentegressgatewaypolicy pooled')
    for (const event of [
      /Normal\s+EgressIPAllocated\s.*sallyport-operator\s+The operator gave egress IP 172\.18\.200\.1 to gateway kind-worker3\./,
      /Normal\s+Ready\s.*kind-worker3 with 172\.18\.200\.1, kind-worker4 with 172\.18\.200\.2/,
      /Normal\s+EgressIPReleased\s.*The operator took egress IP 172\.18\.200\.2 back from gateway kind-worker4\./,
    ])
      assert.match(described, event)
  })

  test('a deleted policy’s addresses are removed', async () => {
    await run('kubectl delete iegp pooled')
    await eventually(
      'they are gone',
      async () => !(await addressesOf('kind-worker3')).includes(pooled[0]),
      60_000,
    )
    assert.match(await addressesOf('kind-worker3'), /172\.18\.0\.42/)
  })
})
