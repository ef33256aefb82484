import { kinds } from '../../api/kinds.ts'
import { version } from '../../api/version.ts'
import { toYaml } from '../kustomization.ts'
import { chartAnnotation, configMapName, defaultNames, namespace, withoutRights } from '../manifest.ts'
import { imageFields, pullSecrets } from '../pod-options.ts'
import type { Setting } from '../settings/setting.ts'
import { settings } from '../settings/settings.ts'
import { configMapLine, expressionOf } from './marked-settings.ts'

/** The files of the chart that are not manifests of an install. */

export const chartYaml = `apiVersion: v2
name: sallyport
description: An egress gateway. Pods leave the cluster from IP addresses that you choose, and open connections survive the failure of a gateway
type: application
version: ${version}
appVersion: "${version}"
kubeVersion: ">=1.28.0-0"
keywords: [egress, gateway, ebpf, networking]
`

const policyOptions = [
  [`${kinds.ciliumEgressGatewayPolicy.plural}.${kinds.ciliumEgressGatewayPolicy.group}`, 'cilium'],
  [`${kinds.isovalentEgressGatewayPolicy.plural}.${kinds.isovalentEgressGatewayPolicy.group}`, 'isovalent'],
] as const

const fixedSettings = settings.filter(({ costOfChange }) => costOfChange !== undefined)

export const namedTemplates = `{{/* The data of the ConfigMap: every setting as a string. */}}
{{- define "sallyport.settings" -}}
${settings.map(configMapLine).join('\n')}
{{- end }}

{{/* A hash of all settings, so that pods restart when a setting changes. "sallyport install" writes the same hash. */}}
{{- define "sallyport.fingerprint" -}}
{{ include "sallyport.settings" . | fromYaml | toRawJson | sha256sum | trunc 16 }}
{{- end }}

{{/* Not empty if the release creates a definition. The argument is a list of the context and the name of the definition. */}}
{{- define "sallyport.createsDefinition" -}}
{{- $root := index . 0 }}
{{- $name := index . 1 }}
{{- $options := dict ${policyOptions.map(([name, option]) => `"${name}" $root.Values.definitions.${option}`).join(' ')} }}
{{- $present := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $name }}
{{- $labels := (($present | default dict).metadata | default dict).labels | default dict }}
{{- $annotations := (($present | default dict).metadata | default dict).annotations | default dict }}
{{- $isOurs := or (not $present) (hasKey $annotations "${chartAnnotation}") (eq (get $labels "app.kubernetes.io/managed-by") "sallyport") }}
{{- if and $isOurs (ne (get $options $name | toString) "false") }}yes{{ end }}
{{- end }}

{{/* Fails in any namespace but ${namespace}, for settings that exclude each other, and for a change that breaks connections. */}}
{{- define "sallyport.check" -}}
{{- if ne .Release.Namespace "${namespace}" }}
{{- fail "Sallyport runs only in the namespace ${namespace}: add --namespace ${namespace}" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (eq .Values.health.address "127.0.0.1") }}
{{- fail "serviceMonitor.enabled: Prometheus cannot reach health.address=127.0.0.1. Set health.address to 0.0.0.0 or ::" }}
{{- end }}
{{- $present := (lookup "v1" "ConfigMap" "${namespace}" "${configMapName}" | default dict).data }}
{{- if and $present (not .Values.cleanUp) }}
${fixedSettings.map(refusalOfChange).join('\n')}
{{- end }}
{{- end }}
`

/** Fails as "sallyport upgrade" does, if a setting differs from that of the present install. */
function refusalOfChange(setting: Setting): string {
  const { path, key, fallback, costOfChange } = setting
  return `{{- $was := get $present "${key}" | default "${fallback}" }}
{{- $is := ${expressionOf(setting)} | toString }}
{{- if and (ne $was $is) (ne .Values.force (printf "${path}=%s" $is)) }}
{{- fail (printf "${path} is %s in this install and would become %s. ${costOfChange} To keep it, add --set ${path}=%s. To change it, add --set force=${path}=%s." $was $is $was $is) }}
{{- end }}`
}

export const notes = `{{- if .Values.cleanUp }}
The pods of the DaemonSet sallyport-clean-up are removing Sallyport from the nodes. Wait until all of them are ready, and remove the release:

  kubectl -n ${namespace} rollout status daemonset/sallyport-clean-up
  helm uninstall {{ .Release.Name }} --namespace ${namespace}
{{- else }}
Sallyport {{ .Chart.AppVersion }} is installed. Wait until every agent is ready:

  kubectl -n ${namespace} rollout status daemonset/${defaultNames.agent}
  helm test {{ .Release.Name }} --namespace ${namespace}

Then label a gateway node and apply a policy:

  kubectl label node NODE egress-gw=true
  kubectl explain isovalentegressgatewaypolicy.spec
{{- if not .Values.egressGateway.enabled }}

WARNING: egressGateway.enabled is false. No policy is enforced: all traffic leaves as if there were no policies.
{{- end }}
{{- if eq .Values.cni.chainingMode "none" }}

Sallyport is the only CNI plugin of this cluster, because cni.chainingMode is none. If another CNI plugin connects your pods, uninstall
this release, and install it again with cni.chainingMode=generic-veth.
{{- end }}

Before you run helm uninstall, clean the nodes: helm upgrade {{ .Release.Name }} CHART --namespace ${namespace} --reset-then-reuse-values --set cleanUp=true
{{- end }}
`

const hook = (weight: number): object => ({
  'helm.sh/hook': 'test',
  'helm.sh/hook-weight': String(weight),
  'helm.sh/hook-delete-policy': 'before-hook-creation,hook-succeeded',
})
const testName = 'sallyport-test'
const read = ['get', 'list']

/** The pod of `helm test`. It reads the status of the whole install, with a service account of its own. */
export function statusTest(): string {
  const metadata = (weight: number, isNamespaced = true): object => ({
    name: testName,
    ...(isNamespaced ? { namespace } : {}),
    annotations: hook(weight),
  })
  const rbac = 'rbac.authorization.k8s.io'
  const subjects = [{ kind: 'ServiceAccount', name: testName, namespace }]
  const rules = [
    { apiGroups: [''], resources: ['pods', 'configmaps', 'events'], verbs: read },
    { apiGroups: ['apps'], resources: ['daemonsets', 'deployments'], verbs: read },
  ]
  const clusterRules = [
    { apiGroups: [''], resources: ['nodes'], verbs: read },
    ...Object.values(kinds).map(({ group, plural }) => ({
      apiGroups: [group],
      resources: [plural],
      verbs: read,
    })),
  ]
  const roleRef = (kind: string): object => ({ apiGroup: rbac, kind, name: testName })
  const spec = {
    serviceAccountName: testName,
    restartPolicy: 'Never',
    hostNetwork: true,
    tolerations: [{ operator: 'Exists' }],
    ...pullSecrets({ 'image-pull-secrets': 'PULL_SECRET' }),
    containers: [
      {
        name: 'status',
        ...imageFields({ 'image-repository': 'IMAGE', 'image-tag': 'TAG', 'image-pull-policy': 'POLICY' }),
        command: ['sallyport', 'status', '--wait', '--wait-duration', '1m'],
        /* The pod must ask the cluster, even if it can reach the agent on its node. */
        env: [{ name: 'SALLYPORT_SOCKET', value: '' }],
        securityContext: withoutRights,
      },
    ],
  }
  return toYaml([
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: metadata(-2) },
    { apiVersion: `${rbac}/v1`, kind: 'Role', metadata: metadata(-2), rules },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'RoleBinding',
      metadata: metadata(-1),
      roleRef: roleRef('Role'),
      subjects,
    },
    { apiVersion: `${rbac}/v1`, kind: 'ClusterRole', metadata: metadata(-2, false), rules: clusterRules },
    {
      apiVersion: `${rbac}/v1`,
      kind: 'ClusterRoleBinding',
      metadata: metadata(-1, false),
      roleRef: roleRef('ClusterRole'),
      subjects,
    },
    { apiVersion: 'v1', kind: 'Pod', metadata: metadata(0), spec },
  ] as never)
    .replace(
      'image: IMAGE:TAG',
      'image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"',
    )
    .replace('imagePullPolicy: POLICY', 'imagePullPolicy: {{ .Values.image.pullPolicy | quote }}')
    .replace(
      / *imagePullSecrets:\n.*PULL_SECRET\n/,
      '  {{- with .Values.image.pullSecrets }}\n  imagePullSecrets:\n    {{- range . }}\n    - name: {{ . | quote }}\n    {{- end }}\n  {{- end }}\n',
    )
}
