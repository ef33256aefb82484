import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from './lab-under-test.ts'

export const poolPolicy = `apiVersion: isovalent.com/v1
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

const rule = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: outpost-only
spec:
  podSelector: {}
  policyTypes: [Egress]
  egress:
    - to:
        - ipBlock:
            cidr: 172.18.0.7/32
      ports:
        - port: 8000`

/** Stand-alone: with the egress IP, and with the node's own address. */
export function testNetworkPolicy(run: (command: string) => Promise<string>): void {
  const ask = (pod: string, to: string): Promise<string> =>
    run(`kubectl exec ${pod} -- curl -s --max-time 2 ${to} || true`)
  const allowed = 'http://172.18.0.7:8000'

  test('lets pods out of the cluster to what it allows, and nowhere else', async (t) => {
    await run(
      'kubectl apply -f egress-gw-policy.yaml && kubectl wait --for=condition=Ready cegp/outpost --timeout=60s',
    )
    t.after(() =>
      run(
        'kubectl delete networkpolicy outpost-only --ignore-not-found; kubectl delete -f egress-gw-policy.yaml',
      ),
    )
    /* Nothing listens there. So a host that gets the packet refuses it at once. */
    const forbidden = 'http://172.18.0.7:8001'
    for (const pod of ['xwing', 'tiefighter']) assert.match(await ask(pod, forbidden), /exit code 7/)
    await run(`kubectl apply -f - <<'END'\n${rule}\nEND`)
    for (const [pod, source] of [
      ['xwing', /source IP.*172\.18\.0\.42/],
      ['tiefighter', /source IP.*172\.18\.0\.2\b/],
    ] as const) {
      await eventually(`${pod} is restricted`, async () => /exit code 28/.test(await ask(pod, forbidden)))
      assert.match(await ask(pod, allowed), source)
    }
    const agent = await run(
      'kubectl -n kube-system get pods -l k8s-app=cilium --field-selector spec.nodeName=kind-worker -o name',
    )
    assert.match(
      await run(`kubectl -n kube-system exec ${agent} -- cilium status`),
      /Policy denied/,
      'the status counts what was dropped',
    )
    await run(`kubectl patch networkpolicy outpost-only --type merge -p '{"spec":{"egress":[]}}'`)
    await eventually('the policy says that its pods can send nothing', async () =>
      /^False AllPodsDropped .*default\/outpost-only/.test(await run(readiness)),
    )
    await run('kubectl delete networkpolicy outpost-only')
    await run('kubectl wait --for=condition=Ready cegp/outpost --timeout=60s')
  })
}

const readiness = `kubectl get cegp outpost -o 'jsonpath={range .status.conditions[?(@.type=="Ready")]}{.status} {.reason} {.message}{end}'`

/** The gateway's kernel rejects packets to the only destination of the policy. */
export function testMissingRoute(run: (command: string) => Promise<string>): void {
  const call = 'kubectl exec xwing -- curl -s --max-time 2 http://172.18.0.7:8000 || true'
  const route = (action: string) => run(`docker exec kind-worker3 ip route ${action} unreachable 172.18.0.7`)

  test('is not ready while its gateway has no route to its destination', async (t) => {
    await run('kubectl apply -f egress-gw-policy.yaml')
    await run(`kubectl patch cegp outpost --type merge -p '{"spec":{"destinationCIDRs":["172.18.0.7/32"]}}'`)
    t.after(() => run('kubectl delete -f egress-gw-policy.yaml'))
    await run('kubectl wait --for=condition=Ready cegp/outpost --timeout=60s')
    assert.match(await run(call), /source IP.*172\.18\.0\.42/)
    await route('add')
    t.after(() => run('docker exec kind-worker3 ip route del unreachable 172.18.0.7 || true'))
    assert.match(await run(call), /exit code (7|28)/, 'the gateway drops the packets')
    await eventually('the policy says so', async () =>
      /^False NoRoute .*kind-worker3 to 172\.18\.0\.7\/32/.test(await run(readiness)),
    )
    await route('del')
    await run('kubectl wait --for=condition=Ready cegp/outpost --timeout=60s')
    assert.match(await run(call), /source IP.*172\.18\.0\.42/)
  })
}
