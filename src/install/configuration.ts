import { z } from 'zod'
import type { NetworkPolicyMode } from '../decide/world.ts'
import type { Prefix } from '../net/prefix.ts'
import type { Parsed } from './settings/assignments.ts'
import type { processSettings } from './settings/process-settings.ts'
import { settings } from './settings/settings.ts'
import { type ValueOf, valueSchema } from './settings/value.ts'

/** The settings of an install, in the form that processes use. */
export interface Configuration {
  readonly enableEgressGateway: boolean
  /** Patterns of native devices: `eth0`, or `eth+` for every name that begins with eth. Empty: found by themselves. */
  readonly devices: readonly string[]
  readonly slots: number
  /** Another CNI plugin wires the pods; ours comes after it and adds egress. */
  readonly isChained: boolean
  readonly networkPolicies: NetworkPolicyMode
  readonly tunnelPort: number
  readonly healthPort: number
  readonly healthAddress: string
  /** Of the pods; 0: what the underlay leaves. */
  readonly mtu: number
  readonly stackCIDRs: readonly Prefix[]
  readonly nonMasqueradeCIDRs: readonly Prefix[]
  readonly reconciliationIntervalMs: number
  readonly egressIpLingerMs: number
  readonly leaseIdleMs: number
  readonly logLevel: string
}

/** The whole ConfigMap: what was set, and the default of every other setting. */
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
  return {
    ok: true,
    value: {
      enableEgressGateway: values['enable-ipv4-egress-gateway'],
      devices: values.devices,
      slots: values.slots,
      isChained: values['cni-chaining-mode'] !== 'none',
      networkPolicies: values['cni-network-policies'],
      tunnelPort: values['tunnel-port'],
      healthPort: values['health-port'],
      healthAddress: values['health-address'],
      mtu: values.mtu,
      stackCIDRs: values['stack-cidrs'],
      nonMasqueradeCIDRs: values['non-masquerade-cidrs'],
      reconciliationIntervalMs: values['egress-gateway-reconciliation-trigger-interval'],
      egressIpLingerMs: values['egress-ip-linger-time'],
      leaseIdleMs: values['port-lease-idle-time'],
      logLevel: values['log-level'],
    },
  }
}
