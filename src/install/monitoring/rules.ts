import { type Alert, alertGroups } from './alerts.ts'

/** The rules, as Prometheus reads them from a file and the Prometheus Operator from a PrometheusRule. */
interface RuleFile {
  readonly groups: readonly {
    readonly name: string
    readonly rules: readonly {
      readonly alert: string
      readonly expr: string
      readonly for: string
      readonly labels: Readonly<Record<string, string>>
      readonly annotations: Readonly<Record<string, string>>
    }[]
  }[]
}

export function renderRules(): RuleFile {
  return {
    groups: Object.entries(alertGroups).map(([name, alerts]) => ({ name, rules: alerts.map(ruleOf) })),
  }
}

function ruleOf({
  name,
  severity,
  expr,
  summary,
  description,
  ...alert
}: Alert): RuleFile['groups'][number]['rules'][number] {
  return {
    alert: name,
    expr,
    for: alert.for,
    labels: { severity },
    annotations: { summary, description, runbook: `docs/runbooks.md#${name.toLowerCase()}` },
  }
}
