import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { type Alert, alertGroups } from './alerts.ts'
import { renderMonitoring } from './files.ts'
import { dashboards } from './panels.ts'
import { renderRules } from './rules.ts'

const skip =
  spawnSync('promtool', ['--version']).status === 0
    ? false
    : 'promtool is missing: run apt-get install prometheus'

const alerts: readonly Alert[] = Object.values(alertGroups).flat()

interface Case {
  /** Series with which the alert fires. */
  readonly bad: Readonly<Record<string, string>>
  /** Series with which it does not. Where none is given, no series at all. */
  readonly good?: Readonly<Record<string, string>>
  /** Labels of the alert that fires. */
  readonly labels: Readonly<Record<string, string>>
}

const policy = 'CiliumEgressGatewayPolicy/p'
const egressIp = '172.18.0.42'
/** A counter that has stood at one value, and one that grows each minute. */
const [still, growing] = ['3+0x30', '0+5x30']
const refused = (verdict: string): string =>
  `sallyport_refused_flows_total{policy="${policy}",egress_ip="${egressIp}",verdict="${verdict}",instance="a"}`
const refusal = (verdict: string, labels: Readonly<Record<string, string>>): Case => ({
  bad: { [refused(verdict)]: growing },
  good: { [refused(verdict)]: still },
  labels,
})
const conditionCase = (
  kind: string,
  condition: string,
  status: string,
  reason: string,
  opposite: string,
): Case => {
  const labels = { kind, name: 'p', condition, status, reason }
  const series = (of: Readonly<Record<string, string>>): string =>
    `sallyport_operator_condition{${Object.entries(of)
      .map(([key, value]) => `${key}="${value}"`)
      .join(',')}}`
  return {
    bad: { [series(labels)]: '1+0x30' },
    good: { [series({ ...labels, status: opposite })]: '1+0x30' },
    labels,
  }
}

const cases: Readonly<Record<string, Case>> = {
  SallyportPolicyNotReady: conditionCase(
    'IsovalentEgressGatewayPolicy',
    'Ready',
    'False',
    'NoGateway',
    'True',
  ),
  SallyportPolicyDropsTraffic: refusal('DROP_NO_GATEWAY', { policy, verdict: 'DROP_NO_GATEWAY' }),
  SallyportNoReachableGateway: refusal('DROP_NO_LIVE_GATEWAY', { policy, egress_ip: egressIp }),
  SallyportAddressConflict: conditionCase(
    'IsovalentEgressGatewayPolicy',
    'AddressConflict',
    'True',
    'AnotherHostAnswers',
    'False',
  ),
  SallyportNoFreePort: refusal('DROP_NO_FREE_PORT', { policy, egress_ip: egressIp }),
  SallyportEgressIPExhausted: conditionCase('EgressAddress', 'Exhausted', 'True', 'NoPortsLeft', 'False'),
  SallyportFewPortsLeft: {
    bad: {
      'sallyport_operator_free_ports{egress_ip="a"}': '100+0x30',
      'sallyport_operator_leasable_ports{egress_ip="a"}': '1000+0x30',
    },
    good: {
      'sallyport_operator_free_ports{egress_ip="a"}': '200+0x30',
      'sallyport_operator_leasable_ports{egress_ip="a"}': '1000+0x30',
    },
    labels: { egress_ip: 'a' },
  },
  SallyportLeasesUnconfirmed: conditionCase('EgressAddress', 'Unconfirmed', 'True', 'GatewayBehind', 'False'),
  SallyportPodLimitReached: refusal('DROP_POD_LIMIT', { policy, egress_ip: egressIp }),
  SallyportGatewayUnreachable: {
    bad: { 'sallyport_gateway_reachable{gateway="g",instance="a"}': '0+0x30' },
    good: { 'sallyport_gateway_reachable{gateway="g",instance="a"}': '1+0x30' },
    labels: { gateway: 'g' },
  },
  SallyportGatewayFlaps: {
    bad: { 'sallyport_failover_duration_seconds_count{gateway="g",instance="a"}': '0+1x30' },
    good: { 'sallyport_failover_duration_seconds_count{gateway="g",instance="a"}': '5+0x30' },
    labels: { gateway: 'g' },
  },
  SallyportNodeNotConnected: conditionCase('EgressNode', 'Connected', 'False', 'ReachesNoNode', 'True'),
  SallyportProgramMissing: conditionCase('EgressNode', 'ProgramMissing', 'True', 'HookTaken', 'False'),
  SallyportAgentDown: {
    bad: { 'up{job="sallyport-agent-metrics",instance="a"}': '0+0x30' },
    good: { 'up{job="sallyport-agent-metrics",instance="a"}': '1+0x30' },
    labels: { job: 'sallyport-agent-metrics', instance: 'a' },
  },
  SallyportAgentNotReady: {
    bad: { 'sallyport_ready{instance="a"}': '0+0x30' },
    good: { 'sallyport_ready{instance="a"}': '1+0x30' },
    labels: { instance: 'a' },
  },
  SallyportNoOperatorLeads: {
    bad: { 'sallyport_operator_leader{instance="a"}': '0+0x30' },
    good: {
      'sallyport_operator_leader{instance="a"}': '0+0x30',
      'sallyport_operator_leader{instance="b"}': '1+0x30',
    },
    labels: {},
  },
  SallyportReconciliationFails: {
    bad: { 'sallyport_reconciliation_failures_total{loop="tables",instance="a"}': '0+1x30' },
    good: { 'sallyport_reconciliation_failures_total{loop="tables",instance="a"}': still },
    labels: { loop: 'tables', instance: 'a' },
  },
  SallyportWatchIdle: {
    bad: { 'sallyport_watch_failing{resource="nodes",instance="a"}': '1+0x30' },
    good: {
      'sallyport_watch_failing{resource="nodes",instance="a"}': '0+0x30',
      'sallyport_watch_idle_seconds{resource="nodes",instance="a"}': '50+0x30',
    },
    labels: { resource: 'nodes', instance: 'a' },
  },
  SallyportTableFilling: {
    bad: {
      'sallyport_table_entries{table="rules",instance="a"}': '90+0x30',
      'sallyport_table_limit{table="rules",instance="a"}': '100+0x30',
    },
    good: {
      'sallyport_mappings{instance="a"}': '50+0x30',
      'sallyport_mappings_limit{instance="a"}': '100+0x30',
    },
    labels: { table: 'rules', instance: 'a' },
  },
  SallyportTableFull: refusal('DROP_TABLE_FULL', { policy }),
}

const seriesOf = (values: Readonly<Record<string, string>>): readonly object[] =>
  Object.entries(values).map(([series, each]) => ({ series, values: each }))

/** A test of promtool: after 25 minutes, the alert fires as it should. */
function promtoolTest(
  alert: Alert,
  values: Readonly<Record<string, string>>,
  expected: readonly object[],
): object {
  return {
    interval: '1m',
    input_series: seriesOf(values),
    alert_rule_test: [{ eval_time: '25m', alertname: alert.name, exp_alerts: expected }],
  }
}

function checkWithPromtool(tests: readonly object[]): void {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-rules-'))
  try {
    /* Summaries are checked for what they lack below, not word by word here. */
    const groups = renderRules().groups.map((group) => ({
      ...group,
      rules: group.rules.map(({ annotations: _, ...rule }) => rule),
    }))
    writeFileSync(join(folder, 'rules.json'), JSON.stringify({ groups }))
    const file = { rule_files: ['rules.json'], evaluation_interval: '1m', tests }
    writeFileSync(join(folder, 'tests.json'), JSON.stringify(file))
    const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', join(folder, 'tests.json')], {
      encoding: 'utf8',
    })
    assert.equal(status, 0, `${stdout}${stderr}`)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test('the files of deploy/monitoring are what the sources render', () => {
  for (const [file, text] of renderMonitoring())
    assert.equal(readFileSync(`deploy/monitoring/${file}`, 'utf8'), text, `${file}: run make chart`)
})

test('promtool accepts the rules', { skip }, () => {
  const output = execFileSync('promtool', ['check', 'rules', 'deploy/monitoring/rules.yaml'], {
    encoding: 'utf8',
  })
  assert.match(output, new RegExp(`SUCCESS: ${alerts.length} rules found`))
})

describe('an alert', { skip }, () => {
  for (const alert of alerts) {
    test(`${alert.name} fires for its fault, and not without it`, () => {
      const { bad, good = {}, labels } = cases[alert.name] ?? assert.fail('there is no case for this alert')
      const firing = { exp_labels: { severity: alert.severity, ...labels } }
      checkWithPromtool([promtoolTest(alert, bad, [firing]), promtoolTest(alert, good, [])])
    })

    test(`${alert.name} says only what its labels hold`, () => {
      const { labels } = cases[alert.name] ?? assert.fail('there is no case for this alert')
      const named = [...`${alert.summary}${alert.description}`.matchAll(/\$labels\.(\w+)/g)].map(
        ([, name]) => name,
      )
      assert.deepEqual(
        named.filter((name) => name !== undefined && !(name in labels)),
        [],
      )
    })
  }
})

test('a fault that lasts shorter than an alert waits does not fire it', { skip }, () => {
  const alert =
    alerts.find(({ name }) => name === 'SallyportGatewayUnreachable') ?? assert.fail('no such alert')
  checkWithPromtool([
    {
      interval: '10s',
      input_series: seriesOf({ 'sallyport_gateway_reachable{gateway="g",instance="a"}': '0 0 0 1+0x30' }),
      alert_rule_test: [{ eval_time: '20s', alertname: alert.name, exp_alerts: [] }],
    },
  ])
})

test('no operator at all is no leader', { skip }, () => {
  const alert = alerts.find(({ name }) => name === 'SallyportNoOperatorLeads') ?? assert.fail('no such alert')
  checkWithPromtool([promtoolTest(alert, {}, [{ exp_labels: { severity: 'critical' } }])])
})

test('docs/runbooks.md has a section for each alert, and no others', () => {
  const headings = [...readFileSync('docs/runbooks.md', 'utf8').matchAll(/^## (Sallyport\w+)$/gm)].map(
    ([, name]) => name,
  )
  assert.deepEqual(headings.toSorted(), alerts.map(({ name }) => name).toSorted())
})

test('alerts and dashboards ask for metrics that docs/metrics.md explains', () => {
  const page = readFileSync('docs/metrics.md', 'utf8')
  const queries = [
    ...alerts.map(({ expr }) => expr),
    ...dashboards.flatMap(({ panels }) => panels.flatMap((panel) => panel.queries.map(({ expr }) => expr))),
  ]
  const asked = queries.flatMap((query) => query.match(/\bsallyport_\w+/g) ?? [])
  const unknown = asked
    .map((name) => name.replace(/_(?:bucket|sum|count)$/, ''))
    .filter((name) => !/^sallyport_(?:agent|operator)_process_/.test(name) && !page.includes(`\`${name}\``))
  assert.deepEqual([...new Set(unknown)], [])
})
