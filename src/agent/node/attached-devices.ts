import type { Datapath, Program } from '../../datapath/datapath.ts'
import { HookTaken, type Place } from '../../datapath/hooks/hook-kind.ts'
import type { Attachment as HookAttachment } from '../../datapath/hooks/hooks.ts'
import { isKernelError } from '../../linux/libc.ts'
import type { Overlay } from '../plan.ts'
import type { Attachment } from '../pods/attachments.ts'
import { type NodeDevice, overlayName } from './node-network.ts'
import { serviceDevices } from './service-device.ts'

/** A program that has to be attached, and where. The device's name is for messages. */
export interface WantedHook extends Place {
  readonly program: Program
  readonly device: string
}

/** What was wrong with attached programs, one sentence each. */
export interface HookFindings {
  /** Other programs occupy the place, so packets go through the device without our program. This lasts until they give it up. */
  readonly problems: readonly string[]
  /** Repaired faults. Before the repair, packets may have passed without our program. */
  readonly repairs: readonly string[]
}

interface Attachable {
  readonly overlay: Overlay
  /** All devices except those of pods. */
  readonly devices: readonly NodeDevice[]
  readonly nativeDevices: readonly NodeDevice[]
  readonly attachments: readonly Attachment[]
}

/** The same in every network namespace. */
const loopback = { index: 1, name: 'lo' } as const

interface StackUse {
  readonly servicesByStack: boolean
  readonly forwardsByStack: boolean
  /** Processes of the node reply to clients of Services. */
  readonly replacesKubeProxy: boolean
}

/**
 * Without kube-proxy, to_world is where processes of the node send: they reply to clients of Services, and call Services themselves. Else
 * it is on every device, because the stack may send a packet out of the cluster by any of them. What the stack cannot
 * forward it tells the egress IP, by the loopback device.
 */
export function planHooks(
  { overlay, devices, nativeDevices, attachments }: Attachable,
  { servicesByStack, forwardsByStack, replacesKubeProxy }: StackUse,
): WantedHook[] {
  const inner = [overlay.ifindex, overlay.forwardIfindex, overlay.services?.hostIfindex]
  const replying = replacesKubeProxy ? nativeDevices : []
  const outward = [
    ...(servicesByStack || forwardsByStack
      ? devices.filter(({ index, isLoopback }) => !isLoopback && !inner.includes(index))
      : replying),
    ...(overlay.services === undefined
      ? []
      : [loopback, { index: overlay.services.hostIfindex, name: serviceDevices.host }]),
  ]
  return [
    ...(forwardsByStack ? [hook('from_world', loopback.index, 'ingress', loopback.name)] : []),
    { program: 'from_overlay', ifindex: overlay.ifindex, direction: 'ingress', device: overlayName },
    ...(overlay.services === undefined ? [] : podHooks(overlay.services.ifindex, serviceDevices.program)),
    ...nativeDevices.map(({ index, name }) => hook('from_world', index, 'ingress', name)),
    ...outward.map(({ index, name }) => hook('to_world', index, 'egress', name)),
    ...attachments.flatMap(({ wired, device }) =>
      wired === undefined ? [] : podHooks(wired.ifindex, device),
    ),
  ]
}

const hook = (
  program: Program,
  ifindex: number,
  direction: WantedHook['direction'],
  device: string,
): WantedHook => ({ program, ifindex, direction, device })

/** Both directions: packets that the stack delivers to a pod show which of the pod's packets are replies. */
export function podHooks(ifindex: number, device: string): WantedHook[] {
  return [
    { program: 'to_pod', ifindex, direction: 'egress', device },
    { program: 'from_pod', ifindex, direction: 'ingress', device },
  ]
}

/**
 * Attaches the wanted programs: new ones, ones that another product removed or went in front of, and ones that use tables of
 * an earlier load whose bpffs is gone. A program that is attached correctly is left alone, which saves system calls. If a
 * device rejects a program or is gone, the others are still attached.
 */
export function hookDevices(datapath: Datapath, wanted: readonly WantedHook[]): HookFindings {
  const present = datapath.attachments()
  const byPlace = new Map(present.map((hook) => [placeOf(hook), hook]))
  const problems: string[] = []
  const repairs: string[] = []
  for (const hook of wanted) {
    const known = byPlace.get(placeOf(hook))
    if (known !== undefined && known.overtakenBy === undefined) continue
    try {
      datapath.attach(hook.program, hook.ifindex, hook.direction)
      if (known?.overtakenBy !== undefined) repairs.push(describeOvertaking(hook, known.overtakenBy))
    } catch (error) {
      if (error instanceof HookTaken)
        problems.push(`Attaching ${hook.program} to device ${hook.device} failed: ${error.message}`)
      else if (!isKernelError(error, 'ENODEV')) throw error
    }
  }
  for (const hook of present) if (isLeftOver(hook, wanted)) datapath.detach(hook)
  return { problems, repairs }
}

function placeOf({ program, ifindex, direction }: Place & { readonly program: string }): string {
  return `${program} ${ifindex} ${direction}`
}

function describeOvertaking({ program, device }: WantedHook, others: readonly string[]): string {
  return `other programs ran before ${program} on device ${device}: ${others.join(', ')}. The agent has put ${program} first again. Attach other programs after it.`
}

/** A device that is no longer native loses its programs. A pod's programs stay as long as its device. */
function isLeftOver(hook: HookAttachment, wanted: readonly WantedHook[]): boolean {
  const isPods = hook.program === 'from_pod' || hook.program === 'to_pod'
  return !isPods && !wanted.some((each) => placeOf(each) === placeOf(hook))
}
