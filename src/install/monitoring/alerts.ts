/** An alert of Prometheus. docs/runbooks.md has a section for each. */
export interface Alert {
  readonly name: string
  readonly severity: 'critical' | 'warning'
  readonly expr: string
  /** How long the expression must hold. */
  readonly for: string
  readonly summary: string
  readonly description: string
}

/** The names of the scrape jobs, as the ServiceMonitors make them. */
export const jobs = { agents: 'sallyport-agent-metrics', operators: 'sallyport-operator-metrics' } as const

const refused = (verdicts: string): string => `sallyport_refused_flows_total{verdict=~"${verdicts}"}`
/** A counter appears with its first drop, so its rate begins with the second. */
const rateOf = (by: string, counter: string): string => `sum by (${by}) (rate(${counter}[5m])) > 0`
const condition = (kind: string, type: string, status = 'True', unless?: string): string => {
  const reason = unless === undefined ? '' : `,reason!="${unless}"`
  return `sallyport_operator_condition{kind=~"${kind}",condition="${type}",status="${status}"${reason}} == 1`
}

const policies: readonly Alert[] = [
  {
    name: 'SallyportPolicyNotReady',
    severity: 'critical',
    expr: condition('CiliumEgressGatewayPolicy|IsovalentEgressGatewayPolicy', 'Ready', 'False', 'Applying'),
    for: '2m',
    summary: 'Egress policy {{ $labels.name }} is not ready ({{ $labels.reason }}).',
    description: 'The policy cannot be honoured, or only in part. Traffic that it selects can be dropped.',
  },
  {
    name: 'SallyportPolicyDropsTraffic',
    severity: 'critical',
    expr: rateOf(
      'policy, verdict',
      refused('DROP_NO_GATEWAY|DROP_NO_EGRESS_IP|DROP_POLICY_INVALID|DROP_NETWORK_POLICY'),
    ),
    for: '2m',
    summary: 'New flows of {{ $labels.policy }} are dropped ({{ $labels.verdict }}).',
    description:
      'Pods try to open connections that the policy cannot carry, or that a NetworkPolicy forbids. They leave with no other address.',
  },
  {
    name: 'SallyportNoReachableGateway',
    severity: 'critical',
    expr: rateOf('policy, egress_ip', refused('DROP_NO_LIVE_GATEWAY')),
    for: '1m',
    summary: 'New flows of {{ $labels.policy }} find no reachable gateway.',
    description:
      'No gateway answers that may carry the flows. Open connections wait, and new ones are dropped.',
  },
  {
    name: 'SallyportAddressConflict',
    severity: 'critical',
    expr: condition('.*Policy', 'AddressConflict'),
    for: '1m',
    summary: 'A host outside the cluster has an egress IP of {{ $labels.name }}.',
    description: 'Gateways do not use an address that another host answers for. Its connections ended.',
  },
]

const ports: readonly Alert[] = [
  {
    name: 'SallyportNoFreePort',
    severity: 'critical',
    expr: rateOf('policy, egress_ip', refused('DROP_NO_FREE_PORT')),
    for: '1m',
    summary: 'New flows of {{ $labels.policy }} find no free port of {{ $labels.egress_ip }}.',
    description: 'All ports of a node are in use towards a destination, and the node gets no more ports.',
  },
  {
    name: 'SallyportEgressIPExhausted',
    severity: 'warning',
    expr: condition('EgressAddress', 'Exhausted'),
    for: '2m',
    summary: 'Nodes demand more ports of {{ $labels.name }} than there are ({{ $labels.reason }}).',
    description: 'A node that has no free port for a destination drops new connections to it.',
  },
  {
    name: 'SallyportFewPortsLeft',
    severity: 'warning',
    expr: 'sallyport_operator_free_ports / sallyport_operator_leasable_ports < 0.125',
    for: '10m',
    summary: 'Egress IP {{ $labels.egress_ip }} has few ports left: {{ $value | humanizePercentage }}.',
    description: 'Fewer than one eighth of the ports that can be leased are free.',
  },
  {
    name: 'SallyportLeasesUnconfirmed',
    severity: 'warning',
    expr: condition('EgressAddress', 'Unconfirmed'),
    for: '5m',
    summary: 'A gateway does not confirm leases of {{ $labels.name }}.',
    description: 'Nodes do not use new ports before every gateway of the egress IP has confirmed them.',
  },
  {
    name: 'SallyportPodLimitReached',
    severity: 'warning',
    expr: rateOf('policy, egress_ip', refused('DROP_POD_LIMIT')),
    for: '5m',
    summary: 'A pod of {{ $labels.policy }} has as many connections as a pod may have.',
    description: 'Its new connections are dropped: egressGateway.maxPortsPerPod.',
  },
]

const gateways: readonly Alert[] = [
  {
    name: 'SallyportGatewayUnreachable',
    severity: 'warning',
    expr: 'count by (gateway) (sallyport_gateway_reachable == 0) > 0',
    for: '1m',
    summary: 'Gateway {{ $labels.gateway }} is unreachable from {{ $value }} nodes.',
    description:
      'These nodes get no answers to their probes. Other gateways carry their traffic, if there are any.',
  },
  {
    name: 'SallyportGatewayFlaps',
    severity: 'warning',
    expr: 'max by (gateway) (increase(sallyport_failover_duration_seconds_count[15m])) > 3',
    for: '0m',
    summary: 'Gateway {{ $labels.gateway }} fails again and again.',
    description: 'Each failure interrupts connections for about a third of a second.',
  },
  {
    name: 'SallyportNodeNotConnected',
    severity: 'critical',
    expr: condition('EgressNode', 'Connected', 'False'),
    for: '2m',
    summary: 'Node {{ $labels.name }} is not connected ({{ $labels.reason }}).',
    description:
      'The node holds or takes over no egress IP, and gateways may drop the egress traffic of its pods.',
  },
  {
    name: 'SallyportProgramMissing',
    severity: 'critical',
    expr: condition('EgressNode', 'ProgramMissing'),
    for: '1m',
    summary: 'A program of Sallyport is missing on a device of node {{ $labels.name }}.',
    description: 'Packets go through the device without it, and can leave with the address of a pod.',
  },
]

const processes: readonly Alert[] = [
  {
    name: 'SallyportAgentDown',
    severity: 'warning',
    expr: `up{job="${jobs.agents}"} == 0`,
    for: '5m',
    summary: 'The agent on {{ $labels.instance }} does not answer.',
    description:
      'Traffic of running pods continues. New pods wait, and the node notices no failure of a gateway.',
  },
  {
    name: 'SallyportAgentNotReady',
    severity: 'warning',
    expr: 'sallyport_ready == 0',
    for: '5m',
    summary: 'The agent on {{ $labels.instance }} is not ready.',
    description: 'It has not written its tables, or cannot write them. New pods of the node wait.',
  },
  {
    name: 'SallyportNoOperatorLeads',
    severity: 'critical',
    expr: '(sum(sallyport_operator_leader) or vector(0)) == 0',
    for: '5m',
    summary: 'No operator leads.',
    description:
      'Traffic continues. Nodes get no more ports, new nodes get no slot, and the status of policies is old.',
  },
  {
    name: 'SallyportReconciliationFails',
    severity: 'warning',
    expr: 'increase(sallyport_reconciliation_failures_total[10m]) > 3',
    for: '5m',
    summary: 'The loop {{ $labels.loop }} on {{ $labels.instance }} fails again and again.',
    description: 'The process keeps what it has done before, and changes do not take effect.',
  },
  {
    name: 'SallyportWatchIdle',
    severity: 'warning',
    expr: 'sallyport_watch_idle_seconds > 180 or sallyport_watch_failing == 1',
    for: '5m',
    summary:
      'The watch of {{ $labels.resource }} on {{ $labels.instance }} gets nothing from the API server.',
    description: 'The process works with what it last received. Changes do not reach it.',
  },
  {
    name: 'SallyportTableFilling',
    severity: 'warning',
    expr: 'sallyport_mappings / sallyport_mappings_limit > 0.8 or sallyport_table_entries / sallyport_table_limit > 0.8',
    for: '10m',
    summary: 'A table of the datapath on {{ $labels.instance }} is {{ $value | humanizePercentage }} full.',
    description:
      'If the table of mappings is full, new flows are dropped. If another one is full, changes do not take effect.',
  },
  {
    name: 'SallyportTableFull',
    severity: 'critical',
    expr: rateOf('policy', refused('DROP_TABLE_FULL')),
    for: '1m',
    summary: 'New flows of {{ $labels.policy }} are dropped, because the table of mappings is full.',
    description: 'A node has more flows than its table can hold.',
  },
]

/** By the group of rules that they are in. */
export const alertGroups: Readonly<Record<string, readonly Alert[]>> = {
  'sallyport-policies': policies,
  'sallyport-ports': ports,
  'sallyport-gateways': gateways,
  'sallyport-processes': processes,
}
