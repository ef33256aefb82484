import type { Datapath } from '../datapath/datapath.ts'
import type { Attachment as HookAttachment } from '../datapath/hooks.ts'
import type { Netlink } from '../datapath/netlink.ts'
import type { EgressIp, Tables } from '../decide/tables.ts'
import type { Address } from '../net/address.ts'
import type { Attachment } from './attachments.ts'
import { ensureOverlay, type NodeDevice, prepareKernel, selectNativeDevices } from './node-network.ts'
import { type Overlay, planDatapath } from './plan.ts'
import { syncRoutes, tunnelRoutes } from './tunnel-routes.ts'

/** What of the configuration shapes this node's network. */
export interface NetworkSettings {
  /** Patterns of native devices; empty: those with the tunnel's address or a default route. */
  readonly devices: readonly string[]
  readonly tunnelPort: number
  /** Of the pods; 0: what the underlay leaves. */
  readonly mtu: number
  readonly isChained: boolean
}

export interface Applied {
  readonly overlay: Overlay
  readonly nativeDevices: readonly NodeDevice[]
}

/**
 * Makes the kernel be as decided. Tables first and programs after, so that no packet meets a program whose tables are
 * empty; applying twice changes nothing the second time.
 */
export async function applyDecision(
  held: { readonly datapath: Datapath; readonly netlink: Netlink },
  settings: NetworkSettings,
  tables: Tables,
  devices: readonly NodeDevice[],
  attachments: readonly Attachment[],
  lingering: ReadonlyMap<Address, EgressIp>,
): Promise<Applied> {
  const { datapath, netlink } = held
  const { tunnelAddress } = tables.self
  const overlay = ensureOverlay(netlink, devices, {
    port: settings.tunnelPort,
    mtu: settings.mtu,
    tunnelAddress,
  })
  prepareKernel(settings)
  await datapath.apply(planDatapath(tables, attachments, overlay, lingering))
  const nativeDevices = selectNativeDevices(devices, settings.devices, tunnelAddress)
  hookDevices(datapath, overlay, nativeDevices)
  syncRoutes(netlink, overlay.ifindex, tunnelRoutes(tables, overlay))
  return { overlay, nativeDevices }
}

/** Attaching again where a program already is would cost a system call and nothing else; it is left out. */
function hookDevices(datapath: Datapath, overlay: Overlay, nativeDevices: readonly NodeDevice[]): void {
  const present = datapath.attachments()
  const isPresent = (program: string, ifindex: number): boolean =>
    present.some((hook) => hook.program === program && hook.ifindex === ifindex)
  if (!isPresent('from_overlay', overlay.ifindex)) datapath.attach('from_overlay', overlay.ifindex)
  for (const { index } of nativeDevices)
    if (!isPresent('from_world', index)) datapath.attach('from_world', index)
  for (const hook of present) if (isLeftOver(hook, overlay, nativeDevices)) datapath.detach(hook)
}

function isLeftOver(hook: HookAttachment, overlay: Overlay, nativeDevices: readonly NodeDevice[]): boolean {
  if (hook.program === 'from_world') return !nativeDevices.some(({ index }) => index === hook.ifindex)
  return hook.program === 'from_overlay' && hook.ifindex !== overlay.ifindex
}
