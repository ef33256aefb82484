import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Address } from '../../net/address.ts'
import { replaceFile } from '../../runtime/replace-file.ts'

/** A pod that this node's network has: what ADD made and DEL takes away. */
export interface Attachment {
  readonly containerId: string
  readonly interfaceName: string
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string }
  readonly addresses: readonly Address[]
  /** Host side of the veth. */
  readonly device: string
  /** Known once the device exists; until then ADD is not finished. */
  readonly wired?: { readonly ifindex: number; readonly mac: string; readonly hostMac: string }
  /** Another plugin has made the device, and takes it away. */
  readonly isChained?: boolean
  /** CLOCK_MONOTONIC in nanoseconds: mappings of the address that are older are its predecessor's. */
  readonly sinceNs: bigint
}

/**
 * The attachments of this node, one file each, so that an agent that is killed in the middle of an ADD knows at its next
 * start which address and which device were meant for whom.
 */
export class Attachments {
  readonly #directory: string
  readonly #byContainer = new Map<string, Attachment>()

  constructor(directory: string) {
    this.#directory = directory
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    for (const file of readdirSync(directory)) {
      const attachment = file.endsWith('.json') ? readAttachment(join(directory, file)) : undefined
      if (attachment !== undefined) this.#byContainer.set(attachment.containerId, attachment)
    }
  }

  get(containerId: string): Attachment | undefined {
    return this.#byContainer.get(containerId)
  }

  list(): readonly Attachment[] {
    return [...this.#byContainer.values()]
  }

  /** Written before it counts. */
  put(attachment: Attachment): void {
    replaceFile(this.#path(attachment.containerId), encode(attachment), 0o600)
    this.#byContainer.set(attachment.containerId, attachment)
  }

  remove(containerId: string): void {
    rmSync(this.#path(containerId), { force: true })
    this.#byContainer.delete(containerId)
  }

  /** The runtime chooses the id: only what cannot leave the directory becomes a file's name. */
  #path(containerId: string): string {
    return join(this.#directory, `${containerId.replaceAll(/[^a-zA-Z0-9_-]/g, '_')}.json`)
  }
}

function encode(attachment: Attachment): string {
  return JSON.stringify({ ...attachment, sinceNs: attachment.sinceNs.toString() })
}

function readAttachment(path: string): Attachment | undefined {
  try {
    const parsed = JSON.parse(readFileSync(path, 'utf8')) as Attachment & { sinceNs: string }
    return { ...parsed, sinceNs: BigInt(parsed.sinceNs) }
  } catch {
    return undefined /* a crash of the machine may leave an empty file; its container is gone, too */
  }
}
