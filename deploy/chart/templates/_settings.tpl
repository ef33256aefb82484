{{/* The data of the ConfigMap: every setting as a string. */}}
{{- define "sallyport.settings" -}}
kube-proxy-replacement: {{ .Values.kubeProxyReplacement | quote }}
k8s-service-host: {{ .Values.k8sServiceHost | quote }}
k8s-service-port: {{ .Values.k8sServicePort | int64 | quote }}
enable-ipv4-egress-gateway: {{ .Values.egressGateway.enabled | quote }}
egress-gateway-reconciliation-trigger-interval: {{ .Values.egressGateway.reconciliationTriggerInterval | quote }}
egress-ip-linger-time: {{ .Values.egressGateway.egressIPLingerTime | quote }}
address-probes: {{ .Values.egressGateway.addressProbes | quote }}
port-lease-idle-time: {{ .Values.egressGateway.portLeaseIdleTime | quote }}
port-range: {{ .Values.egressGateway.portRange | quote }}
excluded-ports: {{ join "," .Values.egressGateway.excludedPorts | quote }}
max-ports-per-pod: {{ .Values.egressGateway.maxPortsPerPod | int64 | quote }}
gateway-forwarding: {{ .Values.egressGateway.gatewayForwarding | quote }}
egress-path: {{ .Values.egressGateway.egressPath | quote }}
enable-bpf-masquerade: {{ .Values.bpf.masquerade | quote }}
cni-chaining-mode: {{ .Values.cni.chainingMode | quote }}
cni-network-policies: {{ .Values.cni.networkPolicies | quote }}
cni-bin-path: {{ .Values.cni.binPath | quote }}
cni-conf-path: {{ .Values.cni.confPath | quote }}
enable-l7-proxy: {{ .Values.l7Proxy | quote }}
devices: {{ join "," .Values.devices | quote }}
tunnel-protocol: {{ .Values.tunnelProtocol | quote }}
tunnel-port: {{ .Values.tunnelPort | int64 | quote }}
health-port: {{ .Values.health.port | int64 | quote }}
health-address: {{ .Values.health.address | quote }}
operator-metrics-port: {{ .Values.operator.metricsPort | int64 | quote }}
mtu: {{ .Values.mtu | int64 | quote }}
slots: {{ .Values.slots | int64 | quote }}
stack-cidrs: {{ join "," .Values.stackCIDRs | quote }}
non-masquerade-cidrs: {{ join "," .Values.nonMasqueradeCIDRs | quote }}
nat-log: {{ .Values.natLog.enabled | quote }}
nat-log-policies: {{ .Values.natLog.policies | quote }}
nat-log-destinations: {{ .Values.natLog.destinations | quote }}
nat-log-sampling: {{ .Values.natLog.sampling | int64 | quote }}
nat-log-max-records-per-second: {{ .Values.natLog.maxRecordsPerSecond | int64 | quote }}
nat-log-file-size: {{ .Values.natLog.fileSize | int64 | quote }}
nat-log-files: {{ .Values.natLog.files | int64 | quote }}
nat-log-collector: {{ .Values.natLog.collector | quote }}
node-port-addresses: {{ join "," .Values.nodePortAddresses | quote }}
log-level: {{ .Values.logLevel | quote }}
image-repository: {{ .Values.image.repository | quote }}
image-tag: {{ (.Values.image.tag | default .Chart.AppVersion) | quote }}
image-pull-policy: {{ .Values.image.pullPolicy | quote }}
image-pull-secrets: {{ join "," .Values.image.pullSecrets | quote }}
operator-replicas: {{ .Values.operator.replicas | int64 | quote }}
agent-resources: {{ .Values.resources | toRawJson | quote }}
agent-node-selector: {{ .Values.nodeSelector | toRawJson | quote }}
agent-tolerations: {{ .Values.tolerations | toRawJson | quote }}
agent-affinity: {{ .Values.affinity | toRawJson | quote }}
agent-priority-class-name: {{ .Values.priorityClassName | quote }}
agent-pod-annotations: {{ .Values.podAnnotations | toRawJson | quote }}
agent-pod-labels: {{ .Values.podLabels | toRawJson | quote }}
operator-resources: {{ .Values.operator.resources | toRawJson | quote }}
operator-node-selector: {{ .Values.operator.nodeSelector | toRawJson | quote }}
operator-tolerations: {{ .Values.operator.tolerations | toRawJson | quote }}
operator-affinity: {{ .Values.operator.affinity | toRawJson | quote }}
operator-priority-class-name: {{ .Values.operator.priorityClassName | quote }}
operator-pod-annotations: {{ .Values.operator.podAnnotations | toRawJson | quote }}
operator-pod-labels: {{ .Values.operator.podLabels | toRawJson | quote }}
service-monitor: {{ .Values.serviceMonitor.enabled | quote }}
service-monitor-labels: {{ .Values.serviceMonitor.labels | toRawJson | quote }}
service-monitor-interval: {{ .Values.serviceMonitor.interval | quote }}
prometheus-rule: {{ .Values.prometheusRule.enabled | quote }}
prometheus-rule-labels: {{ .Values.prometheusRule.labels | toRawJson | quote }}
dashboards: {{ .Values.dashboards.enabled | quote }}
dashboards-labels: {{ .Values.dashboards.labels | toRawJson | quote }}
{{- end }}

{{/* A hash of all settings, so that pods restart when a setting changes. "sallyport install" writes the same hash. */}}
{{- define "sallyport.fingerprint" -}}
{{ include "sallyport.settings" . | fromYaml | toRawJson | sha256sum | trunc 16 }}
{{- end }}

{{/* Not empty if the release creates a definition. The argument is a list of the context and the name of the definition. */}}
{{- define "sallyport.createsDefinition" -}}
{{- $root := index . 0 }}
{{- $name := index . 1 }}
{{- $options := dict "ciliumegressgatewaypolicies.cilium.io" $root.Values.definitions.cilium "isovalentegressgatewaypolicies.isovalent.com" $root.Values.definitions.isovalent }}
{{- $present := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" $name }}
{{- $labels := (($present | default dict).metadata | default dict).labels | default dict }}
{{- $annotations := (($present | default dict).metadata | default dict).annotations | default dict }}
{{- $isOurs := or (not $present) (hasKey $annotations "sallyport.dev/definition") (eq (get $labels "app.kubernetes.io/managed-by") "sallyport") }}
{{- if and $isOurs (ne (get $options $name | toString) "false") }}yes{{ end }}
{{- end }}

{{/* Fails in any namespace but kube-system, for settings that exclude each other, and for a change that breaks connections. */}}
{{- define "sallyport.check" -}}
{{- if ne .Release.Namespace "kube-system" }}
{{- fail "Sallyport runs only in the namespace kube-system: add --namespace kube-system" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (eq .Values.health.address "127.0.0.1") }}
{{- fail "serviceMonitor.enabled: Prometheus cannot reach health.address=127.0.0.1. Set health.address to 0.0.0.0 or ::" }}
{{- end }}
{{- $present := (lookup "v1" "ConfigMap" "kube-system" "sallyport-config" | default dict).data }}
{{- if and $present (not .Values.cleanUp) }}
{{- $was := get $present "cni-chaining-mode" | default "none" }}
{{- $is := .Values.cni.chainingMode | toString }}
{{- if and (ne $was $is) (ne .Values.force (printf "cni.chainingMode=%s" $is)) }}
{{- fail (printf "cni.chainingMode is %s in this install and would become %s. Running pods then lose their network or their egress IPs until they are restarted, and new pods wait until each node has a CNI configuration for the new mode. To keep it, add --set cni.chainingMode=%s. To change it, add --set force=cni.chainingMode=%s." $was $is $was $is) }}
{{- end }}
{{- $was := get $present "slots" | default "512" }}
{{- $is := .Values.slots | toString }}
{{- if and (ne $was $is) (ne .Values.force (printf "slots=%s" $is)) }}
{{- fail (printf "slots is %s in this install and would become %s. Every node then owns other ports of each egress IP, so all open connections through egress gateways break. To keep it, add --set slots=%s. To change it, add --set force=slots=%s." $was $is $was $is) }}
{{- end }}
{{- end }}
{{- end }}
