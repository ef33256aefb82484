import { z } from 'zod'
import type { NetworkPolicyMode } from '../decide/world.ts'
import type { Endpoint } from '../net/endpoint.ts'
import type { PortSettings } from '../net/ports.ts'
import type { Prefix } from '../net/prefix.ts'
import type { Parsed } from './settings/assignments.ts'
import { type processSettings, replacesKubeProxy } from './settings/process-settings.ts'
import { settings } from './settings/settings.ts'
import { type ValueOf, valueSchema } from './settings/value.ts'

/** The settings of an install, as agents and operators use them. */
export interface Configuration {
  readonly enableEgressGateway: boolean
  /** Patterns of native devices: `eth0`, or `eth+` for all names that begin with eth. If empty, the agent finds the devices. */
  readonly devices: readonly string[]
  readonly slots: number
  /** Whether another CNI plugin connects the pods. Sallyport's plugin runs after it. */
  readonly isChained: boolean
  /** Stand-alone beside kube-proxy: what goes to a pod passes through the node's stack, which translates Services. */
  readonly servicesByStack: boolean
  /** Stand-alone without kube-proxy: the datapath translates Services. */
  readonly replacesKubeProxy: boolean
  /** The network stack of this node forwards packets that have their egress IP, so that its rules apply to them. */
  readonly forwardsByStack: boolean
  /** Translated packets go without a tunnel to nodes on the same link that answer there. */
  readonly usesLinks: boolean
  /** Where agents and operators reach the API server. Undefined: by the Service `kubernetes`. */
  readonly apiServer: { readonly host: string; readonly port: number } | undefined
  readonly networkPolicies: NetworkPolicyMode
  readonly tunnelPort: number
  readonly healthPort: number
  readonly healthAddress: string
  readonly operatorMetricsPort: number
  /** The MTU of pods. If 0, the agent derives it from the underlay. */
  readonly mtu: number
  readonly stackCIDRs: readonly Prefix[]
  readonly nonMasqueradeCIDRs: readonly Prefix[]
  readonly nodePortAddresses: readonly Prefix[]
  readonly ports: PortSettings
  /** 0: no limit. */
  readonly maxPortsPerPod: number
  readonly reconciliationIntervalMs: number
  readonly egressIpLingerMs: number
  /** Gateways ask their links whether another host has an address of a pool. */
  readonly probesAddresses: boolean
  readonly leaseIdleMs: number
  /** Undefined: there is no NAT log. */
  readonly natLog: NatLogSettings | undefined
  readonly logLevel: string
}

export interface NatLogSettings {
  readonly policies: 'all' | 'annotated'
  readonly destinations: boolean
  /** One in so many flows has a record. */
  readonly sampling: number
  readonly maxRecordsPerSecond: number
  readonly fileMegabytes: number
  /** 0: none. */
  readonly files: number
  readonly collector: Endpoint | undefined
}

/** The data of the whole ConfigMap: the given settings, and the defaults of all others. */
export function configMapData(set: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(settings.map(({ key, fallback }) => [key, set[key] ?? fallback]))
}

const configMapSchema = z.object(
  Object.fromEntries(settings.map((each) => [each.key, valueSchema(each).prefault(each.fallback)])),
)

type ProcessSetting = (typeof processSettings)[number]
type Values = { readonly [S in ProcessSetting as S['key']]: ValueOf<S> }

export function parseConfiguration(data: Readonly<Record<string, string>>): Parsed<Configuration> {
  const parsed = configMapSchema.safeParse(data)
  if (!parsed.success)
    return {
      ok: false,
      issues: parsed.error.issues.map(({ path, message }) => `${String(path[0])}: ${message}`),
    }
  const values = parsed.data as unknown as Values
  const isChained = values['cni-chaining-mode'] !== 'none'
  const isProxy = replacesKubeProxy(values['kube-proxy-replacement'])
  return {
    ok: true,
    value: {
      enableEgressGateway: values['enable-ipv4-egress-gateway'],
      devices: values.devices,
      slots: values.slots,
      isChained,
      servicesByStack: !isChained && !isProxy,
      replacesKubeProxy: !isChained && isProxy,
      forwardsByStack: values['gateway-forwarding'] === 'stack',
      usesLinks: values['egress-path'] === 'auto' && values['gateway-forwarding'] !== 'stack',
      apiServer:
        values['k8s-service-host'] === ''
          ? undefined
          : { host: values['k8s-service-host'], port: values['k8s-service-port'] },
      networkPolicies: values['cni-network-policies'],
      tunnelPort: values['tunnel-port'],
      healthPort: values['health-port'],
      healthAddress: values['health-address'],
      operatorMetricsPort: values['operator-metrics-port'],
      mtu: values.mtu,
      stackCIDRs: values['stack-cidrs'],
      nonMasqueradeCIDRs: values['non-masquerade-cidrs'],
      nodePortAddresses: values['node-port-addresses'],
      ports: { range: values['port-range'], excluded: values['excluded-ports'] },
      maxPortsPerPod: values['max-ports-per-pod'],
      reconciliationIntervalMs: values['egress-gateway-reconciliation-trigger-interval'],
      egressIpLingerMs: values['egress-ip-linger-time'],
      probesAddresses: values['address-probes'],
      leaseIdleMs: values['port-lease-idle-time'],
      natLog: values['nat-log'] ? natLogOf(values) : undefined,
      logLevel: values['log-level'],
    },
  }
}

function natLogOf(values: Values): NatLogSettings {
  return {
    policies: values['nat-log-policies'],
    destinations: values['nat-log-destinations'],
    sampling: values['nat-log-sampling'],
    maxRecordsPerSecond: values['nat-log-max-records-per-second'],
    fileMegabytes: values['nat-log-file-size'],
    files: values['nat-log-files'],
    collector: values['nat-log-collector'],
  }
}
