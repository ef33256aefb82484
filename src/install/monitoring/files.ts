import { stringify } from 'yaml'
import { renderDashboard } from './grafana.ts'
import { dashboards } from './panels.ts'
import { renderRules } from './rules.ts'

/** For a Prometheus and a Grafana without the chart: the text of each file by its path in deploy/monitoring. */
export function renderMonitoring(): ReadonlyMap<string, string> {
  return new Map([
    [
      'rules.yaml',
      `# Rendered by "make chart" from src/install/monitoring. Change those, not this file.\n${stringify(renderRules(), { lineWidth: 0 })}`,
    ],
    ...dashboards.map((dashboard): [string, string] => [
      `dashboards/${dashboard.name}.json`,
      dashboardText(dashboard),
    ]),
  ])
}

/** As in the file, and in the ConfigMap. */
export function dashboardText(dashboard: (typeof dashboards)[number]): string {
  return `${JSON.stringify(renderDashboard(dashboard), undefined, 2)}\n`
}
