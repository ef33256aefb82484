import { labelled, type Manifest, type Names, namespace } from './manifest.ts'
import { healthPortKey } from './settings/process-settings.ts'

const monitorName = 'sallyport-agent-metrics'
const monitorLabels = { 'app.kubernetes.io/component': 'agent-metrics' }

/** The Prometheus Operator finds pods by Services. This Service is headless, because it is used for nothing else. */
export function monitorManifests(
  { agentLabels }: Names,
  configMap: Readonly<Record<string, string>>,
): Manifest[] {
  if (configMap['service-monitor'] !== 'true') return []
  const port = Number(configMap[healthPortKey])
  const service = labelled(
    'v1',
    'Service',
    monitorName,
    {
      spec: {
        clusterIP: 'None',
        selector: agentLabels,
        ports: [{ name: 'metrics', port, protocol: 'TCP', targetPort: 'metrics' }],
      },
    },
    namespace,
  )
  const monitor = labelled(
    'monitoring.coreos.com/v1',
    'ServiceMonitor',
    monitorName,
    {
      spec: {
        selector: { matchLabels: monitorLabels },
        endpoints: [{ port: 'metrics', interval: configMap['service-monitor-interval'] }],
      },
    },
    namespace,
  )
  const chosen = JSON.parse(configMap['service-monitor-labels'] ?? '{}') as Readonly<Record<string, string>>
  return [withLabels(service, monitorLabels), withLabels(monitor, chosen)]
}

/** Why these settings exclude each other. Undefined if they do not. */
export function monitorConflict(configMap: Readonly<Record<string, string>>): string | undefined {
  if (configMap['service-monitor'] !== 'true' || configMap['health-address'] !== '127.0.0.1') return undefined
  return 'serviceMonitor.enabled: Prometheus cannot reach health.address=127.0.0.1. Set health.address to 0.0.0.0 or ::'
}

function withLabels(manifest: Manifest, labels: Readonly<Record<string, string>>): Manifest {
  const { metadata } = manifest
  return { ...manifest, metadata: { ...metadata, labels: { ...labels, ...metadata.labels } } }
}
