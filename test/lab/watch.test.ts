import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { jobs } from '../../src/install/monitoring/alerts.ts'
import { dashboards } from '../../src/install/monitoring/panels.ts'
import { renderRules } from '../../src/install/monitoring/rules.ts'
import { poolPolicy } from './gateway-policies.ts'
import { cannotRun, curlOutpost, eventually, hangTimeoutMs, labFor, type } from './lab-under-test.ts'
import { PrometheusInLab, prometheusMissing } from './prometheus-in-lab.ts'
import { someNodes } from './story.ts'

const gateways = ['kind-worker3', 'kind-worker4'] as const
const source = 'kind-worker'
const opener = new URL('open-connections.ts', import.meta.url).pathname

/** The rules, without the patience that people want. */
const impatientRules = {
  groups: renderRules().groups.map((group) => ({
    ...group,
    rules: group.rules.map((rule) => ({ ...rule, for: '0s', expr: rule.expr.replaceAll('[5m]', '[10s]') })),
  })),
}

/** Leases all ports but a few for a slot that no node has. */
const scarcity = {
  apiVersion: 'sallyport.dev/v1alpha1',
  kind: 'EgressAddress',
  metadata: { name: '172-18-0-42' },
  spec: {
    address: '172.18.0.42',
    leases: [
      { firstPort: 1024 + 128, blocks: 1984 - 8, slot: 500 },
      { firstPort: 32768 + 37 * 64, blocks: (512 - 37) * 4, slot: 500 },
    ],
  },
}

const impossiblePolicy = `apiVersion: cilium.io/v2
kind: CiliumEgressGatewayPolicy
metadata:
  name: impossible
spec:
  selectors:
    - podSelector:
        matchLabels:
          org: empire
  destinationCIDRs: [172.18.0.0/16]
  egressGateway:
    nodeSelector:
      matchLabels:
        no: such-node
    interface: net0`

describe('a real Prometheus in the lab', {
  skip: cannotRun || prometheusMissing(),
  timeout: hangTimeoutMs,
}, () => {
  let prometheus: PrometheusInLab
  /* Before the lab goes. */
  after(() => prometheus?.stop())
  const lab = labFor('test-watch', {
    nodes: someNodes(source, ...gateways),
    story: { until: 'the policy', settings: ['health.address=0.0.0.0'] },
  })
  const run = (command: string): Promise<string> => type(lab.state(), command)
  const call = (pod: string): Promise<string> => run(`kubectl exec ${pod} -- ${curlOutpost} || true`)

  /** Fires, and names what is wrong. `prod` makes traffic. */
  const fires = (
    alertname: string,
    labels: Readonly<Record<string, string>> = {},
    prod?: () => Promise<unknown>,
  ): Promise<void> =>
    eventually(`${alertname} fires`, async () => {
      await prod?.()
      return (await prometheus.firing()).some(
        (alert) =>
          alert.alertname === alertname &&
          Object.entries(labels).every(([name, value]) => alert[name] === value),
      )
    })
  const isCalm = (alertname: string): Promise<void> =>
    eventually(`${alertname} is over`, async () =>
      (await prometheus.firing()).every((alert) => alert.alertname !== alertname),
    )

  test('scrapes every agent and the leading operator', async () => {
    prometheus = new PrometheusInLab(lab.state())
    await prometheus.start({ [jobs.agents]: 9787, [jobs.operators]: 9788 }, impatientRules)
    const latest = async (expr: string): Promise<number> => {
      const [samples] = await prometheus.query([expr]).catch(() => [])
      return Number(samples?.[0]?.values.at(-1)?.[1] ?? 0)
    }
    await eventually('all agents are ready', async () => (await latest('sum(sallyport_ready)')) === 4)
    await eventually('an operator leads', async () => (await latest('sum(sallyport_operator_leader)')) === 1)
    assert.match(await call('xwing'), /172\.18\.0\.42/)
    await eventually(
      'the flow is counted',
      async () =>
        (await latest('sum(sallyport_flow_packets_total{egress_ip="172.18.0.42",direction="in"})')) > 0,
    )
    await isCalm('SallyportNoOperatorLeads')
    const firing = await prometheus.firing()
    assert.deepEqual(
      firing.filter(({ alertname }) => alertname !== 'SallyportWatchIdle'),
      [],
      'nothing is wrong yet',
    )
  })

  test('sees a gateway that is away', async () => {
    await run(`docker pause ${gateways[0]}`)
    await fires('SallyportGatewayUnreachable', { gateway: gateways[0] })
    await fires('SallyportAgentDown', { node: gateways[0] })
    await run(`docker unpause ${gateways[0]}`)
    await isCalm('SallyportGatewayUnreachable')
  })

  test('sees that no gateway is left', async () => {
    for (const gateway of gateways) await run(`docker pause ${gateway}`)
    await fires('SallyportNoReachableGateway', {}, () => call('xwing'))
    for (const gateway of gateways) await run(`docker unpause ${gateway}`)
    await isCalm('SallyportGatewayUnreachable')
  })

  test('sees a policy that drops', async () => {
    await run(`kubectl apply -f - <<'END'\n${impossiblePolicy}\nEND`)
    await fires('SallyportPolicyNotReady', { name: 'impossible', reason: 'NoGateway' })
    await fires('SallyportPolicyDropsTraffic', { policy: 'CiliumEgressGatewayPolicy/impossible' }, () =>
      call('tiefighter'),
    )
    await run('kubectl delete cegp impossible')
    await isCalm('SallyportPolicyNotReady')
  })

  test('sees that ports are short', async () => {
    await run(`echo '${JSON.stringify(scarcity)}' | kubectl apply -f -`)
    await fires('SallyportFewPortsLeft', { egress_ip: '172.18.0.42' })
    const command = `${process.execPath} ${opener} 172.18.0.7 8000 500 20`
    await run(`kubectl exec xwing -- sh -c '(${command}) >/dev/null 2>&1 </dev/null &'`)
    await fires('SallyportNoFreePort', { egress_ip: '172.18.0.42' })
    await fires('SallyportEgressIPExhausted', { name: '172-18-0-42' })
    await run(
      `echo '${JSON.stringify({ ...scarcity, spec: { address: '172.18.0.42', leases: [] } })}' | kubectl apply -f -`,
    )
    await isCalm('SallyportFewPortsLeft')
  })

  test('sees an address conflict', async () => {
    await run('kubectl delete -f egress-gw-policy.yaml')
    await run(`kubectl apply -f - <<'END'\n${poolPolicy}\nEND`)
    await run('kubectl wait --for=condition=Ready iegp/pooled --timeout=60s')
    await run('docker exec remote-outpost ip address add 172.18.200.1/32 dev eth0')
    await fires('SallyportAddressConflict', { name: 'pooled' })
    await run('docker exec remote-outpost ip address del 172.18.200.1/32 dev eth0')
  })

  for (const { title, panels } of dashboards)
    test(`has data for every panel of ${title}`, async () => {
      const asked = panels.flatMap(({ title: panel, queries }) =>
        queries.map(({ expr }) => ({ panel, expr: expr.replaceAll('$__rate_interval', '10s') })),
      )
      const found = await prometheus.query(asked.map(({ expr }) => expr))
      const empty = asked.filter(
        (_, index) => !found[index]?.some(({ values }) => values.some(([, value]) => value !== 'NaN')),
      )
      assert.deepEqual(empty, [])
    })
})
