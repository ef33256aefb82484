import { labelled, type Manifest, namespace } from '../manifest.ts'
import { dashboardText } from './files.ts'
import { dashboards } from './panels.ts'
import { renderRules } from './rules.ts'

type ConfigMap = Readonly<Record<string, string>>

/** The alerts for the Prometheus Operator, and the dashboards for Grafana's sidecar. */
export function monitoringManifests(configMap: ConfigMap): Manifest[] {
  return [
    ...(configMap['prometheus-rule'] === 'true' ? [prometheusRule(configMap)] : []),
    ...(configMap.dashboards === 'true' ? [dashboardsConfigMap(configMap)] : []),
  ]
}

function prometheusRule(configMap: ConfigMap): Manifest {
  const rule = labelled(
    'monitoring.coreos.com/v1',
    'PrometheusRule',
    'sallyport',
    { spec: renderRules() },
    namespace,
  )
  return withLabels(rule, configMap['prometheus-rule-labels'])
}

function dashboardsConfigMap(configMap: ConfigMap): Manifest {
  const data = Object.fromEntries(
    dashboards.map((dashboard) => [`${dashboard.name}.json`, dashboardText(dashboard)]),
  )
  const dashboardsObject = labelled('v1', 'ConfigMap', 'sallyport-dashboards', { data }, namespace)
  return withLabels(dashboardsObject, configMap['dashboards-labels'])
}

/** Adds the labels of a setting. */
export function withLabels(manifest: Manifest, setting = '{}'): Manifest {
  const { metadata } = manifest
  const chosen = JSON.parse(setting) as Readonly<Record<string, string>>
  return { ...manifest, metadata: { ...metadata, labels: { ...chosen, ...metadata.labels } } }
}
