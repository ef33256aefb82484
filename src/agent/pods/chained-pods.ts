import { existsSync } from 'node:fs'
import type { Datapath } from '../../datapath/datapath.ts'
import type { NetworkPolicyMode } from '../../decide/world.ts'
import type { Machine } from '../../linux/machine.ts'
import { listChains } from '../../linux/netfilter.ts'
import type { Netlink } from '../../linux/netlink.ts'
import { HttpError } from '../api/http-error.ts'
import type { CniRequest } from '../api/local-api.ts'
import { podHooks } from '../node/attached-devices.ts'
import type { NodeDevice } from '../node/node-network.ts'
import type { Attachment, Attachments } from './attachments.ts'
import { describeBypass } from './bypassed-policies.ts'
import { findWire } from './chained-wire.ts'
import { addressesOf, type CachedResult, podInterface, readResultCache } from './cni-result.ts'
import { type Admission, untilKnown, untilWritten } from './pod-admission.ts'

interface ChainedPodsOptions extends Admission {
  readonly datapath: Datapath
  readonly netlink: Netlink
  readonly machine: Machine
  readonly attachments: Attachments
  /** Where the runtime keeps the results of ADD. */
  readonly resultCache: string
  readonly networkPolicies: NetworkPolicyMode
}

/**
 * Pods that another plugin wires. Our plugin runs after it. The agent attaches its programs to the device that the other
 * plugin made, and answers the ADD when the pod's entries are in the tables. It changes nothing that the other plugin made,
 * and never deletes its devices.
 */
export class ChainedPods {
  readonly #options: ChainedPodsOptions
  /** By pod: why the agent could not attach its programs. Such a pod's traffic leaves as if no policy selected it. */
  readonly #unattached = new Map<string, string>()

  constructor(options: ChainedPodsOptions) {
    this.#options = options
  }

  get problems(): readonly string[] {
    const unattached = [...this.#unattached].map(
      ([pod, reason]) => `No egress policy applies to pod ${pod}: ${reason}`,
    )
    return [...unattached, ...describeBypass(listChains(), this.#options.networkPolicies)]
  }

  async handle(request: CniRequest): Promise<undefined> {
    const { attachments, settle } = this.#options
    switch (request.command) {
      case 'ADD':
        return this.#add(request)
      case 'DEL':
        attachments.remove(request.containerId)
        break
      case 'GC':
        for (const { containerId } of attachments.list())
          if (!request.validContainerIds?.includes(containerId)) attachments.remove(containerId)
        break
      case 'CHECK':
        return this.#check(request.containerId)
      case 'STATUS':
        return undefined
      default:
        throw new HttpError(400, `unknown CNI command ${String(request.command)}`)
    }
    settle().catch(() => {}) /* the loop reports its own failures */
    return undefined
  }

  async #add({ containerId, interfaceName, netns, pod, prevResult }: CniRequest): Promise<undefined> {
    if (!containerId || !interfaceName || netns === undefined || pod === undefined)
      throw new HttpError(400, 'ADD needs containerId, interfaceName, netns and pod')
    if (prevResult === undefined)
      throw new HttpError(
        400,
        'ADD has no prevResult: in chained mode this plugin must come after the plugin that wires pods',
      )
    await untilKnown(this.#options, pod)
    this.#record({ containerId, interfaceName, pod, result: prevResult }, netns)
    await untilWritten(this.#options, pod)
    this.#attach(containerId)
    return undefined
  }

  /** The loop has attached the programs already, unless it failed. This attempt throws the reason, and the pod does not start. */
  #attach(containerId: string): void {
    const { attachments, datapath } = this.#options
    const { wired, device } = attachments.get(containerId) ?? {}
    if (wired === undefined || device === undefined)
      throw new HttpError(500, `container ${containerId} was deleted during ADD`)
    for (const { program, ifindex, direction } of podHooks(wired.ifindex, device))
      datapath.attach(program, ifindex, direction)
  }

  #record({ containerId, interfaceName, pod, result }: Omit<CachedResult, 'netns'>, netns: string): void {
    const { attachments, clock } = this.#options
    const addresses = addressesOf(result)
    if (addresses.length === 0) throw new HttpError(500, 'the previous CNI plugin gave the pod no address')
    const { device, wired } = findWire(this.#options, netns, interfaceName)
    const isChained = true
    const sinceNs = clock.monotonicNs()
    attachments.put({ containerId, interfaceName, pod, addresses, device, wired, isChained, sinceNs })
  }

  /**
   * Finds what happened without our plugin: pods that started before the agent or while our plugin was not in the list, and
   * devices that were deleted.
   */
  observe(devices: readonly NodeDevice[]): void {
    const { attachments, resultCache, isKnown } = this.#options
    const present = new Set(devices.map(({ index }) => index))
    for (const { containerId, wired } of attachments.list())
      if (wired === undefined || !present.has(wired.ifindex)) attachments.remove(containerId)
    this.#unattached.clear()
    const known = attachments.list().map(({ containerId }) => containerId)
    for (const cached of readResultCache(resultCache, known))
      if (
        cached.interfaceName === podInterface &&
        attachments.get(cached.containerId) === undefined &&
        isKnown(cached.pod)
      )
        this.#adopt(cached)
  }

  #adopt(cached: CachedResult): void {
    const { netns } = cached
    if (netns !== undefined && !existsSync(netns))
      return /* the sandbox has ended, and only its record is left */
    try {
      if (netns === undefined)
        throw new Error(
          'the container runtime has not recorded its network namespace. Delete the pod so that it is created again.',
        )
      this.#record(cached, netns)
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      this.#unattached.set(`${cached.pod.namespace}/${cached.pod.name}`, reason)
    }
  }

  #check(containerId: string): undefined {
    const wired: Attachment['wired'] = this.#options.attachments.get(containerId)?.wired
    const isAttached = this.#options.datapath
      .attachments()
      .some(({ program, ifindex }) => program === 'from_pod' && ifindex === wired?.ifindex)
    if (!isAttached)
      throw new HttpError(500, `program from_pod is not attached to the device of container ${containerId}`)
    return undefined
  }
}
