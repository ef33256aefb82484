import { kinds } from '../../api/kinds.ts'
import { cleanUpDaemonSet } from '../agent-manifests.ts'
import { toYaml } from '../kustomization.ts'
import { chartAnnotation, defaultNames, type Manifest } from '../manifest.ts'
import { renderInstall, withoutServiceRules } from '../manifests.ts'
import { withoutNewerFields } from '../server-versions.ts'
import { settings } from '../settings/settings.ts'
import { expressionOf, markedConfigMap, unmark } from './marked-settings.ts'
import { withConditions } from './optional-lines.ts'

type ConfigMap = Readonly<Record<string, string>>

interface Condition {
  readonly test: string
  readonly off?: ConfigMap
  readonly server?: string
  readonly without?: (each: Manifest) => Manifest
}

/**
 * The condition of each optional part of the manifests, with what leaves the part out: settings, the server version, or a function if
 * more than one setting needs the part.
 */
const conditions: readonly Condition[] = [
  {
    test: 'eq .Values.cni.chainingMode "generic-veth"',
    off: { 'cni-chaining-mode': 'none', 'kube-proxy-replacement': 'true' },
  },
  {
    test: 'or (eq .Values.cni.chainingMode "generic-veth") (has (toString .Values.kubeProxyReplacement) (list "true" "strict"))',
    without: withoutServiceRules,
  },
  { test: '.Values.serviceMonitor.enabled', off: { 'service-monitor': 'false' } },
  { test: '.Values.prometheusRule.enabled', off: { 'prometheus-rule': 'false' } },
  { test: '.Values.dashboards.enabled', off: { dashboards: 'false' } },
  { test: '.Values.natLog.enabled', off: { 'nat-log': 'false' } },
  { test: 'semverCompare ">=1.30.0-0" .Capabilities.KubeVersion.Version', server: 'v1.29.0' },
  ...settings
    .filter(
      ({ kind, fallback, key }) => fallback === '{}' || (kind === 'list' && key === 'image-pull-secrets'),
    )
    .map((setting) => ({ test: expressionOf(setting), off: { [setting.key]: setting.fallback } })),
]

/** The manifests of a file, as a template. */
function templateOf(
  pick: (each: Manifest) => boolean,
  render: (configMap: ConfigMap) => readonly Manifest[],
): string {
  const lines = ({ off = {}, server = '', without = (each) => each }: Partial<Condition> = {}): string[] =>
    toYaml(
      render({ ...markedConfigMap, ...off })
        .filter(pick)
        .map((each) => without(withoutNewerFields(each, server))),
    )
      .replaceAll('{{', '{{ "{{" }}')
      .replace(/(sallyport\.dev\/configuration: ).*/g, '$1{{ include "sallyport.fingerprint" . | quote }}')
      .split('\n')
  const full = lines()
  return withConditions(
    full,
    conditions.map((condition) => ({ test: condition.test, without: lines(condition) })),
  )
    .map(unmark)
    .join('\n')
}

const ofKinds =
  (...names: readonly string[]) =>
  ({ kind }: Manifest): boolean =>
    names.includes(kind)
const isMonitoring = ({ kind, metadata: { name } }: Manifest): boolean =>
  kind === 'PrometheusRule' || name === 'sallyport-dashboards'
const install = (configMap: ConfigMap): Manifest[] => renderInstall(configMap, defaultNames)

/** The path and text of each template with manifests. */
export function renderTemplates(): ReadonlyMap<string, string> {
  const whileInstalled = (text: string): string => `{{- if not .Values.cleanUp }}\n${text}{{- end }}\n`
  return new Map([
    ...Object.values(kinds).map(({ plural, group }): [string, string] => [
      `templates/definition-${plural}.yaml`,
      definitionTemplate(`${plural}.${group}`),
    ]),
    [
      'templates/rights.yaml',
      templateOf(
        ofKinds('ServiceAccount', 'ClusterRole', 'ClusterRoleBinding', 'Role', 'RoleBinding'),
        install,
      ),
    ],
    ['templates/configuration.yaml', configurationTemplate()],
    [
      'templates/operator.yaml',
      whileInstalled(templateOf(ofKinds('Deployment', 'PodDisruptionBudget'), install)),
    ],
    [
      'templates/agent.yaml',
      whileInstalled(templateOf(ofKinds('DaemonSet', 'Service', 'ServiceMonitor'), install)),
    ],
    ['templates/monitoring.yaml', whileInstalled(templateOf(isMonitoring, install))],
    [
      'templates/clean-up.yaml',
      `{{- if .Values.cleanUp }}\n${templateOf(
        () => true,
        (configMap) => [cleanUpDaemonSet(configMap)],
      )}{{- end }}\n`,
    ],
  ])
}

function configurationTemplate(): string {
  const text = toYaml(
    install({})
      .filter(ofKinds('ConfigMap'))
      .map((each) => ({ ...each, data: '__settings__' })),
  )
  return `{{- include "sallyport.check" . }}\n${text.replace('data: __settings__', 'data:\n  {{- include "sallyport.settings" . | nindent 2 }}')}`
}

/**
 * A definition is kept when the release is removed, because all policies would be deleted with it. Like `install`, the chart does not
 * change a definition that another product created.
 */
function definitionTemplate(name: string): string {
  const [definition] = install({}).filter(
    ({ kind, metadata }) => /Definition$/.test(kind) && metadata.name === name,
  )
  if (definition === undefined) throw new Error(`no definition is named ${name}`)
  const annotations = { 'helm.sh/resource-policy': 'keep', [chartAnnotation]: 'true' }
  const text = toYaml([{ ...definition, metadata: { ...definition.metadata, annotations } } as Manifest])
  if (text.includes('{{')) throw new Error(`${name} contains "{{", which Helm would take for an expression`)
  return `{{- if include "sallyport.createsDefinition" (list . "${name}") }}\n${text}{{- end }}\n`
}
