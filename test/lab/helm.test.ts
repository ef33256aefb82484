import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { repository } from '../../src/lab/layout.ts'
import { clientToolsFolder } from '../../src/lab/programs/client-tools.ts'
import {
  cannotRun,
  curlOutpost,
  eventually,
  hangTimeoutMs,
  labFor,
  ownObjects,
  type,
} from './lab-under-test.ts'
import { someNodes } from './story.ts'

const helmMissing =
  !existsSync(join(clientToolsFolder('newest'), 'helm')) && 'Helm is missing: run ./setup on x86-64'
const release = `sallyport ${join(repository, 'deploy/chart')} --namespace kube-system`
const leftovers = `
for node in $(kubectl get nodes -o name | cut -d/ -f2); do
  docker exec $node sh -c '
    ls /sys/fs/bpf | grep sallyport
    ls /etc/cni/net.d /opt/cni/bin | grep sallyport
    ip -o link | grep -E "sallyport|sp[0-9a-f]{12}"
    true'
done`
const policy = `
apiVersion: cilium.io/v2
kind: CiliumEgressGatewayPolicy
metadata: { name: outpost }
spec:
  selectors: [{ podSelector: { matchLabels: { org: alliance } } }]
  destinationCIDRs: [172.18.0.7/32]
  egressGateway: { nodeSelector: { matchLabels: { egress-gw: "true" } }, egressIP: 172.18.0.42 }
`

describe('Sallyport installed with Helm', { skip: cannotRun || helmMissing, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-helm', {
    nodes: someNodes('kind-worker', 'kind-worker3'),
    story: { until: 'the cluster' },
  })
  const run = (command: string): Promise<string> => type(lab.state(), command)
  const helm = (command: string): Promise<string> => run(`helm ${command} --wait --timeout 5m`)

  test('an install makes every node Ready', async () => {
    await helm(`install ${release} --set 'devices={eth+,net+}'`)
    await run('kubectl wait --for=condition=Ready node --all --timeout=60s')
    const { items } = JSON.parse(
      await run('kubectl -n kube-system get pods -l k8s-app=sallyport -o json'),
    ) as {
      items: readonly { metadata: { ownerReferences: readonly { kind: string; name: string }[] } }[]
    }
    assert.equal(items.length, lab.state().nodes.length)
    for (const { metadata } of items) assert.equal(metadata.ownerReferences[0]?.name, 'sallyport')
  })

  test('a pod that a policy selects leaves with the egress IP', async () => {
    await run('docker run --name outpost --network kind -d quay.io/isovalent-dev/egressgw-whatismyip')
    await run(`kubectl apply -f - <<'END'\n${policy}\nEND`)
    await run('kubectl run xwing --labels org=alliance --image docker.io/tgraf/netperf')
    await run('kubectl wait --for=condition=Ready pod/xwing --timeout=60s')
    await eventually('the outpost sees the egress IP', async () =>
      (await run(`kubectl exec xwing -- ${curlOutpost} || true`)).includes('172.18.0.42'),
    )
  })

  test('"helm test" passes, and fails while an agent is missing', async () => {
    assert.match(await run('helm test sallyport -n kube-system --timeout 3m'), /Phase: +Succeeded/)
    await run('kubectl -n kube-system patch ds sallyport --type merge -p \'{"spec":{"template":{"spec":{"containers":[{"name":"sallyport-agent","image":"nowhere:1"}]}}}}\'')
    const failed = await run('helm test sallyport -n kube-system --timeout 3m --logs 2>&1 && echo passed || true')
    assert.doesNotMatch(failed, /^passed$/m)
    assert.match(failed, /nowhere:1/)
  }) // biome-ignore format: one a line

  test('an upgrade and a rollback reach every agent', async () => {
    await helm(`upgrade ${release} --reset-then-reuse-values --set logLevel=debug --force-conflicts`)
    const level = 'kubectl -n kube-system exec ds/sallyport -- sallyport config view | grep log-level'
    assert.match(await run(level), /debug/)
    assert.match(await run(`kubectl exec xwing -- ${curlOutpost}`), /172\.18\.0\.42/)
    await helm('rollback sallyport 1 --namespace kube-system --force-conflicts')
    assert.match(await run(level), /info/)
    assert.match(await run(`kubectl exec xwing -- ${curlOutpost}`), /172\.18\.0\.42/)
  })

  test('the clean-up and an uninstall leave nothing on the nodes, and the policy in the cluster', async () => {
    assert.notEqual(await run(leftovers), '')
    await helm(`upgrade ${release} --reset-then-reuse-values --set cleanUp=true`)
    assert.equal(await run(leftovers), '')
    await helm('uninstall sallyport --namespace kube-system')
    assert.equal(await run(ownObjects('daemonsets,deployments,configmaps,secrets')), '')
    assert.notEqual(await run('kubectl get ciliumegressgatewaypolicies -o name'), '')
  })
})
