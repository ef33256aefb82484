import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  cannotRun,
  curlOutpost,
  eventually,
  hangTimeoutMs,
  labFor,
  ownObjects,
  processesOf,
  type,
} from './lab-under-test.ts'
import { someNodes } from './story.ts'

/** All that we put on a node, looked for by what a person would type. */
const leftovers = `
for node in $(kubectl get nodes -o name | cut -d/ -f2); do
  docker exec $node sh -c '
    ls /sys/fs/bpf | grep sallyport
    ls -A /run/sallyport
    ls /etc/cni/net.d /opt/cni/bin | grep -E "sallyport|loopback"
    ip -o link | grep -E "sallyport|sp[0-9a-f]{12}"
    ip -o address | grep deprecated
    grep . /proc/sys/net/ipv4/ip_local_reserved_ports
    true'
done`

describe('an uninstall', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-uninstall', {
    nodes: someNodes('kind-worker', 'kind-worker3'),
    story: { until: 'the policy' },
  })
  const run = (command: string): Promise<string> => type(lab.state(), command)

  test('an upgrade replaces every agent and breaks no connection', async () => {
    const end = '/run/end-of-upgrade'
    const stream = `until [ -e ${end} ]; do date; sleep 0.1; done | curl -sN -T - --max-time 300 http://172.18.0.7:8000/`
    const sending = run(`kubectl exec xwing -- sh -c '${stream}'`)
    const before = await agentsOf()
    assert.match(await run('cilium upgrade --set logLevel=debug'), /cilium: 3 of 3 updated, 3 available/)
    const after = await agentsOf()
    assert.deepEqual(
      after.filter((pid) => before.includes(pid)),
      [],
      'every agent is a new one',
    )
    assert.match(await run('cilium config view'), /^log-level +debug$/m)
    await run(`kubectl exec xwing -- touch ${end}`)
    assert.match(await sending, /Access granted. Your source IP \(172\.18\.0\.42\)/)
  })

  async function agentsOf(): Promise<readonly number[]> {
    const state = lab.state()
    return (
      await Promise.all(state.nodes.map(({ name }) => processesOf(state, name, 'src/agent/main.ts')))
    ).flat()
  }

  test('an uninstall refuses while running pods have their network from Sallyport', async () => {
    await assert.rejects(run('cilium uninstall'), /Sallyport is the CNI plugin of \d+ running pods/)
    assert.match(await run(`kubectl exec xwing -- ${curlOutpost}`), /172\.18\.0\.42/)
  })

  test('a confirmed uninstall leaves nothing on any node and keeps the policies', async () => {
    assert.notEqual(await run(leftovers), '')
    const said = await run('cilium uninstall --yes')
    assert.match(said, /waiting for nodes to be cleaned/)
    assert.equal(await run(leftovers), '')
    assert.equal(await run(ownObjects('daemonsets,deployments,configmaps')), '')
    assert.notEqual(await run('kubectl get ciliumegressgatewaypolicies -o name'), '')
  })

  test('a second uninstall finds nothing to do', async () => {
    assert.doesNotMatch(await run('cilium uninstall --yes'), /waiting|deleted/)
  })

  test('a new install serves pods that start afterwards', async () => {
    await run("cilium install --set 'devices={eth+,net+}' && cilium status --wait")
    await run(
      'kubectl delete pod xwing --now && kubectl run xwing --labels org=alliance,class=xwing --image docker.io/tgraf/netperf',
    )
    await run('kubectl wait --for=condition=Ready pod/xwing --timeout=60s')
    await eventually('the X-Wing is granted access', async () =>
      (await run(`kubectl exec xwing -- ${curlOutpost} || true`)).includes('172.18.0.42'),
    )
  })
})
