import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { capabilitiesOf, readCapabilities } from '../../src/lab/kubelet/containers/confinement.ts'
import {
  cannotRun,
  curlOutpost,
  eventually,
  hangTimeoutMs,
  labFor,
  processesOf,
  runtime,
  type,
} from './lab-under-test.ts'
import { someNodes, tellStory } from './story.ts'

/** Whose image is this machine's files may read them, whoever the repository belongs to. */
const imageReader = runtime === 'containerd' ? [] : ['DAC_READ_SEARCH']

/** The lab's kubelet gives containers what their manifest says. What agents and operators need and do not ask for shows here. */
describe('the rights in the manifests', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-rights', { nodes: someNodes('kind-worker', 'kind-worker3', 'kind-worker4') })
  const run = (command: string): Promise<string> => type(lab.state(), command)
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
    await tellStory(lab.state(), { until: 'the policy' })
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
