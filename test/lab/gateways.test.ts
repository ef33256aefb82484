import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { capabilitiesOf, readCapabilities } from '../../src/lab/kubelet/containers/confinement.ts'
import { poolPolicy, testMissingRoute, testNetworkPolicy } from './gateway-policies.ts'
import {
  cannotRun,
  curlOutpost,
  eventually,
  hangTimeoutMs,
  labFor,
  processesOf,
  runtime,
  seenByOutpost,
  type,
} from './lab-under-test.ts'
import { seeFlow } from './seen-flow.ts'
import { someNodes, tellStory } from './story.ts'

/** Whose image is this machine's files may read them, whoever the repository belongs to. */
const imageReader = runtime === 'containerd' ? [] : ['DAC_READ_SEARCH']

/** New connections by one process, because a thousand processes would cost more than everything else. The number is not sent. */
const open125 =
  'curl -s -o /dev/null --max-time 10 --header "Connection: close" "http://172.18.0.7:8000/#[1-125]"'

const pooled = ['172.18.200.1', '172.18.200.2'] as const
const gateways = ['kind-worker3', 'kind-worker4'] as const

/**
 * One lab for all of them, because an install costs more than most of these tests. Each applies its policy and deletes it.
 */
describe('two gateways', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-gateways', { nodes: someNodes('kind-worker', 'kind-worker3', 'kind-worker4') })
  const run = (command: string): Promise<string> => type(lab.state(), command)

  /** The lab's kubelet gives containers what their manifest says. What agents and operators need and do not ask for shows here. */
  describe('the rights in the manifests', () => {
    const processes = async (program: string): Promise<readonly number[]> => {
      const state = lab.state()
      return (
        await Promise.all(state.nodes.map(({ name }) => processesOf(state, name, `src/${program}/main.ts`)))
      ).flat()
    }
    const securityOf = async (workload: string): Promise<Parameters<typeof capabilitiesOf>[0]> =>
      JSON.parse(
        await run(
          `kubectl -n kube-system get ${workload} -o 'jsonpath={.spec.template.spec.containers[0].securityContext}'`,
        ),
      ) as Parameters<typeof capabilitiesOf>[0]

    test('an install mounts a BPF file system on a node that has none', async () => {
      const typeOf = 'docker exec kind-worker stat -f -c %T /sys/fs/bpf'
      await run('docker exec kind-worker umount /sys/fs/bpf')
      assert.notEqual(await run(typeOf), 'bpf_fs')
      await tellStory(lab.state(), { until: 'the outpost' })
      assert.equal(await run(typeOf), 'bpf_fs')
      assert.match(await run('docker exec kind-worker ls /sys/fs/bpf'), /sallyport/)
      const mounts = await run('docker exec kind-worker cat /proc/self/mounts')
      assert.equal(mounts.match(/serviceaccount/g), null, 'what else the containers mount is theirs')
    })

    test('an agent has exactly the capabilities that its manifest asks for', async () => {
      const asked = [...capabilitiesOf(await securityOf('daemonset/cilium'))].sort()
      const agents = await processes('agent')
      assert.equal(agents.length, lab.state().nodes.length)
      for (const pid of agents)
        for (const set of ['CapBnd', 'CapEff'] as const)
          assert.deepEqual([...readCapabilities(pid, set)].sort(), asked)
    })

    test('an operator is not root and has no capability but to read its image', async () => {
      const operators = await processes('operator')
      assert.equal(operators.length, 2)
      for (const pid of operators) {
        assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^Uid:\t65532\t65532\t65532\t65532$/m)
        assert.deepEqual([...readCapabilities(pid, 'CapBnd')], imageReader)
      }
    })

    test('containers run under the runtime’s seccomp profile', {
      skip: runtime === 'containerd' ? false : 'processes of the lab have no seccomp profile',
    }, async () => {
      const filters = 2
      for (const pid of [...(await processes('agent')), ...(await processes('operator'))])
        assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), new RegExp(`^Seccomp:\\t${filters}$`, 'm'))
    })

    test('an agent cannot write into its image', async () => {
      const attempt = 'for path in / /tmp /usr; do touch $path/written 2>&1; done; true'
      const said = await run(`kubectl -n kube-system exec ds/cilium -- sh -c '${attempt}'`)
      assert.equal(said.match(/Read-only file system/g)?.length, 3, said)
    })
  })

  describe('a policy with both gateways in use', () => {
    before(async () => {
      await run('kubectl apply -f egress-gw-policy-ha.yaml')
      await run('kubectl wait --for=condition=Ready iegp/outpost-ha --timeout=20s')
      await eventually('the policy is in force', async () =>
        (await run(`kubectl exec xwing -- ${curlOutpost}`)).includes('172.18.0.4'),
      )
    })
    after(() => run('kubectl delete -f egress-gw-policy-ha.yaml'))

    test('"explain", "flows" and "who" show what the outpost sees', () => seeFlow(run, gateways))

    test('two gateways share 1,000 connections evenly', async (t) => {
      const state = lab.state()
      const before = await seenByOutpost(state)
      await type(state, `kubectl exec xwing -- sh -c 'seq 1 8 | xargs -P 8 -I{} ${open125}'`)
      const after = await seenByOutpost(state)
      const counts = Object.fromEntries(
        Object.entries(after).map(([address, count]) => [address, count - (before[address] ?? 0)]),
      )
      t.diagnostic(JSON.stringify(counts))
      const [one = 0, other = 0] = [counts['172.18.0.42'], counts['172.18.0.43']]
      assert.equal(one + other, 1000, JSON.stringify(counts))
      /* Of a fair coin's throws one in a million is further off: five deviations of 16. */
      assert.ok(Math.abs(one - 500) < 80, JSON.stringify(counts))
    })
  })

  describe('a NetworkPolicy', () => testNetworkPolicy(run))

  describe('a policy with one gateway', () => testMissingRoute(run))

  /** Addresses of a pool: given by the operator, put on interfaces by the gateways, and taken away again. */
  describe('a pool of egress IPs', () => {
    after(() =>
      run('kubectl label node kind-worker4 egress-gw=true; kubectl delete iegp pooled --ignore-not-found'),
    )
    const addressesOf = (node: string): Promise<string> =>
      run(`docker exec ${node} ip -br address show dev net0`)

    const outpost = (command: string): Promise<string> => run(`docker exec remote-outpost ${command}`)

    async function release(address: string): Promise<void> {
      const name = address.replaceAll('.', '-')
      /* The operator makes the object when the first agent reports connections. Before, kubectl does not wait. */
      const wait = `kubectl wait --for=condition=Lingering egressaddress/${name} --timeout=5s 2>&1 || true`
      await eventually(`${address} lingers`, async () => (await run(wait)).includes('condition met'))
      assert.match(
        await run(`sallyport egress release ${address}`),
        new RegExp(`^Egress IP ${address} is released\\.`),
      )
    }

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
      await run(`kubectl apply -f - <<'END'\n${poolPolicy}\nEND`)
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

    /* An agent hears of what it changes itself. If it repeats that, it reconciles again and again and never rests. */
    test('agents repeat no change to the network of a node where nothing happens', async () => {
      const listen =
        'timeout 4 ip monitor link address route & sleep 1; ip route add blackhole 192.0.2.1; sleep 1; ip route del blackhole 192.0.2.1; wait'
      const linesOf = (text: string): string[] => text.split('\n').map((line) => line.trim())
      /* Other things may happen now and then. An agent that repeats a change is never quiet. */
      for (const node of ['kind-worker', ...gateways])
        await eventually(`${node} hears only what the test does`, async () =>
          isDeepStrictEqual(linesOf(await run(`docker exec ${node} sh -c '${listen}'`)), [
            'blackhole 192.0.2.1',
            'Deleted blackhole 192.0.2.1',
          ]),
        )
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
      await release(pooled[1])
      await eventually(
        'the address goes',
        async () => !(await addressesOf('kind-worker4')).includes(pooled[1]),
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

    test('a deleted policy’s address lingers until it is released, and then pods of another policy reach its new owner', async (t) => {
      const [address] = pooled
      const port = 40_042
      await run('kubectl delete iegp pooled')
      await release(address)
      await eventually('it is gone', async () => !(await addressesOf('kind-worker3')).includes(address))
      assert.match(await addressesOf('kind-worker3'), /172\.18\.0\.42/)
      t.after(() => run('kubectl delete -f egress-gw-policy.yaml'))
      t.after(() => outpost(`ip address del ${address}/32 dev eth0`))
      await outpost(`ip address add ${address}/32 dev eth0`)
      await outpost(`sh -c 'cd /; exec python3 -m http.server ${port} >/dev/null 2>&1 &'`)
      await run(
        'kubectl apply -f egress-gw-policy.yaml && kubectl wait --for=condition=Ready cegp/outpost --timeout=60s',
      )
      await eventually('the server runs', async () => (await outpost('ss -tln')).includes(`:${port} `))
      const answer = await run(
        `kubectl exec xwing -- curl -s -o /dev/null -w '%{http_code}' --max-time 5 http://${address}:${port}/`,
      )
      assert.equal(answer, '200')
    })

    test('an address that another host has is not used, and one that it takes later is given up', async (t) => {
      const mac = (await outpost('cat /sys/class/net/eth0/address')).trim()
      t.after(() => run('kubectl delete iegp pooled'))
      for (const address of pooled)
        t.after(() => outpost(`sh -c 'ip address del ${address}/32 dev eth0 || true'`))
      await outpost(`ip address add ${pooled[0]}/32 dev eth0`)
      await run(`kubectl apply -f - <<'END'\n${poolPolicy}\nEND`)
      await eventually(
        'the gateway has the second address',
        async () => (await addressesOf('kind-worker3')).includes(`${pooled[1]}/32`),
        60_000,
      )
      assert.doesNotMatch(await addressesOf('kind-worker3'), new RegExp(`${pooled[0]}/32`))
      await run('kubectl wait --for=condition=Ready iegp/pooled --timeout=20s')
      assert.deepEqual(await newConnections(3), [pooled[1]])
      await outpost(`ip address add ${pooled[1]}/32 dev eth0`)
      await eventually(
        'the gateway has the third address',
        async () => (await addressesOf('kind-worker3')).includes('172.18.200.3/32'),
        60_000,
      )
      assert.doesNotMatch(await addressesOf('kind-worker3'), new RegExp(`${pooled[1]}/32`))
      await run('kubectl wait --for=condition=Ready iegp/pooled --timeout=20s')
      assert.deepEqual(await newConnections(3), ['172.18.200.3'])
      const described = await run('kubectl describe isovalentegressgatewaypolicy pooled')
      for (const event of [
        new RegExp(
          `Warning\\s+AddressConflict\\s.*with MAC ${mac}, has address 172\\.18\\.200\\.1 of egressCIDRs`,
        ),
        /Normal\s+EgressIPChanged\s.*leave with 172\.18\.200\.3 .*Another host has 172\.18\.200\.2\./,
      ])
        assert.match(described, event)
    })
  })

  /* Last, because agents remember for a while that a gateway was away. */
  describe('a policy with one gateway in use', () => {
    before(() =>
      run(
        'kubectl apply -f egress-gw-policy.yaml && kubectl wait --for=condition=Ready cegp/outpost --timeout=60s',
      ),
    )
    after(() => run('kubectl delete -f egress-gw-policy.yaml'))

    /* It was told: of itself the outpost would ask the silent gateway until the entry fails. */
    test('a successor’s announcement updates neighbours that knew the dead gateway', async () => {
      const known = `docker exec remote-outpost ip neighbour show 172.18.0.42`
      const macOf = (node: string): Promise<string> =>
        run(`docker exec ${node} cat /sys/class/net/eth0/address`)
      const [gateway, successor] = [await macOf('kind-worker3'), await macOf('kind-worker4')]
      assert.match(await run(`kubectl exec xwing -- ${curlOutpost}`), /172\.18\.0\.42/)
      assert.ok((await run(known)).includes(gateway))
      await run('docker pause kind-worker3')
      await eventually('the outpost knows', async () => (await run(known)).includes(successor))
      await run('docker unpause kind-worker3')
    })
  })
})
