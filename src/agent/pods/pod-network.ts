import type { Datapath } from '../../datapath/datapath.ts'
import { findDevice } from '../../linux/devices.ts'
import type { Machine } from '../../linux/machine.ts'
import type { Netlink } from '../../linux/netlink.ts'
import type { Address } from '../../net/address.ts'
import { contains, familyOfPrefix, type Prefix, prefixLength } from '../../net/prefix.ts'
import { HttpError } from '../api/http-error.ts'
import type { CniRequest, CniResult } from '../api/local-api.ts'
import { podHooks } from '../node/attached-devices.ts'
import type { NodeDevice } from '../node/node-network.ts'
import type { Attachment, Attachments } from './attachments.ts'
import { chooseAddress, routerAddress } from './pod-addresses.ts'
import { type Admission, untilKnown, untilWritten } from './pod-admission.ts'
import { strayPodProblems } from './stray-pods.ts'
import { hostDeviceName, unwirePod, wirePod } from './wire.ts'

interface PodNetworkOptions extends Admission {
  readonly datapath: Datapath
  readonly netlink: Netlink
  readonly machine: Machine
  readonly attachments: Attachments
  /** The pod CIDRs of this node's Node object. Undefined until the object is known. */
  readonly podCIDRs: () => readonly Prefix[] | undefined
  readonly mtu: () => number | undefined
}

/** Wires pods for the CNI plugin. It answers an ADD only when the pod's entries are in the tables. */
export class PodNetwork {
  readonly #options: PodNetworkOptions
  readonly #lastIndexByPrefix = new Map<Prefix, number>()

  constructor(options: PodNetworkOptions) {
    this.#options = options
  }

  get problems(): readonly string[] {
    return strayPodProblems(this.#options.attachments.list(), this.#options.podCIDRs())
  }

  /** Removes what was left over while no agent ran: incomplete ADDs, and pods that ended. */
  observe(devices: readonly NodeDevice[]): void {
    const { attachments, netlink } = this.#options
    const present = new Set(devices.map(({ index }) => index))
    for (const { containerId, device, isChained, wired } of attachments.list()) {
      if (!isChained && wired !== undefined && present.has(wired.ifindex)) continue
      if (!isChained) unwirePod(netlink, device) /* a chained device belongs to another plugin */
      attachments.remove(containerId)
    }
  }

  async handle(request: CniRequest): Promise<CniResult | undefined> {
    switch (request.command) {
      case 'ADD':
        return this.#add(request)
      case 'DEL':
        return this.#remove(request.containerId)
      case 'CHECK':
        return this.#check(request.containerId)
      case 'GC':
        for (const { containerId } of this.#options.attachments.list())
          if (!request.validContainerIds?.includes(containerId)) await this.#remove(containerId)
        return undefined
      case 'STATUS':
        return undefined
      default:
        throw new HttpError(400, `unknown CNI command ${String(request.command)}`)
    }
  }

  async #add(request: CniRequest): Promise<CniResult> {
    const { attachments } = this.#options
    const { containerId, interfaceName, netns, pod } = request
    if (!containerId || !interfaceName || netns === undefined || pod === undefined)
      throw new HttpError(400, 'ADD needs containerId, interfaceName, netns and pod')
    await untilKnown(this.#options, pod)
    const attachment = attachments.get(containerId) ?? this.#wire(containerId, interfaceName, netns, pod)
    await untilWritten(this.#options, pod)
    return describe(attachment, netns, this.#prefixes())
  }

  #prefixes(): readonly Prefix[] {
    const prefixes = this.#options.podCIDRs()
    if (prefixes === undefined || prefixes.length === 0)
      throw new HttpError(503, 'this node has no pod CIDR yet: spec.podCIDRs of its Node object is empty')
    return prefixes
  }

  /** Records the attachment before it creates the device, so that a crash leaves no device without a record. */
  #wire(containerId: string, interfaceName: string, netns: string, pod: Attachment['pod']): Attachment {
    const { attachments, netlink, machine, datapath, clock, mtu } = this.#options
    const size = mtu()
    if (size === undefined) throw new HttpError(503, 'the agent has not created the tunnel device yet')
    const addresses = this.#prefixes().map((prefix) => ({
      address: this.#allocate(prefix),
      router: routerAddress(prefix),
    }))
    const device = hostDeviceName(containerId, interfaceName)
    const begun: Attachment = {
      containerId,
      interfaceName,
      pod,
      device,
      addresses: addresses.map(({ address }) => address),
      sinceNs: clock.monotonicNs(),
    }
    attachments.put(begun)
    try {
      const wire = { netns, interfaceName, device, mtu: size, addresses }
      const wired = wirePod({ netlink, machine }, wire, (ifindex) => {
        for (const { program, direction } of podHooks(ifindex, device))
          datapath.attach(program, ifindex, direction)
      })
      const attachment = { ...begun, wired }
      attachments.put(attachment)
      return attachment
    } catch (error) {
      unwirePod(netlink, device)
      attachments.remove(containerId)
      throw error
    }
  }

  #allocate(prefix: Prefix): Address {
    const taken = new Set(this.#options.attachments.list().flatMap(({ addresses }) => addresses))
    const chosen = chooseAddress(
      prefix,
      (address) => taken.has(address),
      this.#lastIndexByPrefix.get(prefix) ?? 0,
    )
    if (chosen === undefined)
      throw new HttpError(
        500,
        `no address is free in pod CIDR ${prefix} of this node: ${taken.size} are in use`,
      )
    this.#lastIndexByPrefix.set(prefix, chosen.index)
    return chosen.address
  }

  /** Succeeds for an unknown container, because it was removed before. */
  async #remove(containerId: string): Promise<undefined> {
    const { attachments, netlink } = this.#options
    const attachment = attachments.get(containerId)
    if (attachment === undefined) return undefined
    unwirePod(netlink, attachment.device)
    attachments.remove(containerId)
    this.#options.settle().catch(() => {}) /* the loop reports its own failures */
    return undefined
  }

  async #check(containerId: string): Promise<undefined> {
    const attachment = this.#options.attachments.get(containerId)
    const device = attachment && findDevice(this.#options.netlink, attachment.device)
    if (device === undefined) throw new HttpError(500, `container ${containerId} has no device on this node`)
    return undefined
  }
}

function describe(attachment: Attachment, netns: string, prefixes: readonly Prefix[]): CniResult {
  const { device, interfaceName, wired, addresses } = attachment
  if (wired === undefined)
    throw new HttpError(
      500,
      `the wiring of container ${attachment.containerId} is incomplete: delete the pod and retry`,
    )
  return {
    cniVersion: '1.0.0',
    interfaces: [
      { name: device, mac: wired.hostMac },
      { name: interfaceName, mac: wired.mac, sandbox: netns },
    ],
    ips: addresses.flatMap((address) => {
      const prefix = prefixes.find((each) => contains(each, address))
      if (prefix === undefined) return []
      return [{ interface: 1, address: `${address}/${prefixLength(prefix)}`, gateway: routerAddress(prefix) }]
    }),
    routes: prefixes.map((prefix) => ({
      dst: familyOfPrefix(prefix) === 4 ? '0.0.0.0/0' : '::/0',
      gw: routerAddress(prefix),
    })),
  }
}
