/** A panel of a dashboard. */
export interface Panel {
  readonly title: string
  readonly description?: string
  /** A unit of Grafana. Default: short. */
  readonly unit?: 'Bps' | 'pps' | 's' | 'percentunit' | 'cps' | 'short'
  readonly kind?: 'timeseries' | 'stat' | 'table'
  readonly queries: readonly { readonly expr: string; readonly legend: string }[]
}

export interface Dashboard {
  /** The name of the file, and the uid in Grafana. */
  readonly name: string
  readonly title: string
  readonly panels: readonly Panel[]
}

const one = (expr: string, legend: string): Panel['queries'] => [{ expr, legend }]
const perSecond = (by: string, counter: string): string =>
  `sum by (${by}) (rate(${counter}[$__rate_interval]))`
const bothWays = (metric: string): Panel['queries'] =>
  ['out', 'in'].map((direction) => ({
    expr: perSecond('policy', `${metric}{direction="${direction}"}`),
    legend: `{{policy}} ${direction}`,
  }))

const overview: readonly Panel[] = [
  {
    title: 'Policies that are not ready',
    kind: 'stat',
    queries: one(
      'count(sallyport_operator_condition{condition="Ready",status="False"}) or vector(0)',
      'not ready',
    ),
  },
  { title: 'Agents that are ready', kind: 'stat', queries: one('sum(sallyport_ready)', 'ready') },
  { title: 'Problems of nodes', kind: 'stat', queries: one('sum(sallyport_problems)', 'problems') },
  {
    title: 'Gateways that some node does not reach',
    kind: 'stat',
    queries: one('count(count by (gateway) (sallyport_gateway_reachable == 0)) or vector(0)', 'unreachable'),
  },
  { title: 'Bytes by policy', unit: 'Bps', queries: bothWays('sallyport_flow_bytes_total') },
  { title: 'Packets by policy', unit: 'pps', queries: bothWays('sallyport_flow_packets_total') },
  { title: 'Open flows by policy', queries: one('sum by (policy) (sallyport_flows)', '{{policy}}') },
  {
    title: 'New flows by policy',
    unit: 'cps',
    queries: one(perSecond('policy', 'sallyport_flows_opened_total'), '{{policy}}'),
  },
  {
    title: 'Dropped packets of new flows, by policy and reason',
    unit: 'pps',
    queries: one(perSecond('policy, verdict', 'sallyport_refused_flows_total'), '{{policy}} {{verdict}}'),
  },
  {
    title: 'All dropped packets by reason',
    unit: 'pps',
    queries: one(perSecond('verdict', 'sallyport_packets_total{verdict=~"DROP_.*"}'), '{{verdict}}'),
  },
  {
    title: 'Conditions that report a problem',
    kind: 'table',
    description: 'docs/conditions.md explains each.',
    queries: one(
      'sallyport_operator_condition{condition=~"Ready|Connected",status="False"} or sallyport_operator_condition{condition!~"Ready|Connected|isovalent.com/IPAMRequestSatisfied",status="True"}',
      '{{kind}} {{name}} {{condition}} {{reason}}',
    ),
  },
]

const ports: readonly Panel[] = [
  {
    title: 'Ports that can still be leased',
    queries: one('sallyport_operator_free_ports', '{{egress_ip}}'),
  },
  {
    title: 'Share of ports that are leased',
    unit: 'percentunit',
    queries: one('1 - sallyport_operator_free_ports / sallyport_operator_leasable_ports', '{{egress_ip}}'),
  },
  {
    title: 'Ports owned by nodes',
    queries: one('sum by (egress_ip) (sallyport_ports_owned)', '{{egress_ip}}'),
  },
  { title: 'Ports in use', queries: one('sum by (egress_ip) (sallyport_ports_used)', '{{egress_ip}}') },
  {
    title: 'Ports leased and demanded',
    queries: [
      { expr: 'sum by (egress_ip) (sallyport_ports_leased)', legend: '{{egress_ip}} leased' },
      { expr: 'sum by (egress_ip) (sallyport_ports_demanded)', legend: '{{egress_ip}} demanded' },
    ],
  },
  {
    title: 'Flows to the destination with most flows',
    description:
      'Each needs a port of its own. "sallyport flows --top connections" names pods, "sallyport flows" destinations.',
    queries: one('max by (egress_ip) (sallyport_top_destination_flows)', '{{egress_ip}}'),
  },
  {
    title: 'Dropped packets of flows without a free port',
    unit: 'pps',
    queries: one(
      perSecond('egress_ip', 'sallyport_refused_flows_total{verdict="DROP_NO_FREE_PORT"}'),
      '{{egress_ip}}',
    ),
  },
  {
    title: 'Wait for leased ports, 95th percentile',
    unit: 's',
    queries: one(
      'histogram_quantile(0.95, sum by (le) (increase(sallyport_lease_wait_seconds_bucket[1h])))',
      'all nodes',
    ),
  },
]

const gateways: readonly Panel[] = [
  {
    title: 'Nodes that reach each gateway',
    queries: one('sum by (gateway) (sallyport_gateway_reachable)', '{{gateway}}'),
  },
  {
    title: 'Nodes by path to each gateway',
    queries: one('count by (gateway, path) (sallyport_gateway_path)', '{{gateway}} {{path}}'),
  },
  {
    title: 'Round trip of probes',
    unit: 's',
    queries: one('max by (gateway) (sallyport_gateway_probe_round_trip_seconds)', '{{gateway}}'),
  },
  {
    title: 'Egress IPs that agents added to devices',
    queries: one('sum by (egress_ip) (sallyport_egress_ip_held)', '{{egress_ip}}'),
  },
  {
    title: 'Failovers, as nodes of pods see them',
    queries: one('sum by (gateway) (increase(sallyport_failover_duration_seconds_count[1h]))', '{{gateway}}'),
  },
  {
    title: 'Duration of failovers, mean',
    unit: 's',
    queries: one(
      'sum by (gateway) (sallyport_failover_duration_seconds_sum) / sum by (gateway) (sallyport_failover_duration_seconds_count)',
      '{{gateway}}',
    ),
  },
  {
    title: 'Takeovers and hand-backs',
    queries: [
      { expr: 'sum(increase(sallyport_takeovers_total[1h]))', legend: 'takeovers' },
      { expr: 'sum(increase(sallyport_hand_backs_total[1h]))', legend: 'hand-backs' },
    ],
  },
]

const processes: readonly Panel[] = [
  {
    title: 'Versions',
    kind: 'table',
    queries: one('count by (component, version) (sallyport_build_info)', '{{component}} {{version}}'),
  },
  { title: 'Operators that lead', kind: 'stat', queries: one('sum(sallyport_operator_leader)', 'leaders') },
  {
    title: 'Duration of reconciliations, 95th percentile',
    unit: 's',
    queries: one(
      'histogram_quantile(0.95, sum by (le, loop) (rate(sallyport_reconciliation_duration_seconds_bucket[$__rate_interval])))',
      '{{loop}}',
    ),
  },
  {
    title: 'Reconciliations that failed',
    queries: one(
      'sum by (loop) (increase(sallyport_reconciliation_failures_total[$__rate_interval]))',
      '{{loop}}',
    ),
  },
  {
    title: 'Idle time of watches, longest',
    unit: 's',
    queries: one('max by (resource) (sallyport_watch_idle_seconds)', '{{resource}}'),
  },
  {
    title: 'Fullest tables',
    unit: 'percentunit',
    queries: [
      { expr: 'max(sallyport_mappings / sallyport_mappings_limit)', legend: 'mappings' },
      {
        expr: 'topk(5, max by (table) (sallyport_table_entries / sallyport_table_limit))',
        legend: '{{table}}',
      },
    ],
  },
  {
    title: 'Memory of agents and operators',
    queries: [
      { expr: 'max(sallyport_agent_process_resident_memory_bytes)', legend: 'largest agent' },
      { expr: 'max(sallyport_operator_process_resident_memory_bytes)', legend: 'largest operator' },
    ],
  },
  {
    title: 'Processor time of agents',
    unit: 'percentunit',
    queries: one('max(rate(sallyport_agent_process_cpu_seconds_total[$__rate_interval]))', 'busiest agent'),
  },
]

export const dashboards: readonly Dashboard[] = [
  { name: 'sallyport-overview', title: 'Sallyport / Policies', panels: overview },
  { name: 'sallyport-ports', title: 'Sallyport / Ports', panels: ports },
  { name: 'sallyport-gateways', title: 'Sallyport / Gateways', panels: gateways },
  { name: 'sallyport-processes', title: 'Sallyport / Agents and operators', panels: processes },
]
