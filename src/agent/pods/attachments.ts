import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Address } from '../../net/address.ts'
import { replaceFile } from '../../runtime/replace-file.ts'

/** A pod in this node's network. A CNI ADD creates it, and a DEL removes it. */
export interface Attachment {
  readonly containerId: string
  readonly interfaceName: string
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string }
  readonly addresses: readonly Address[]
  /** Host side of the veth. */
  readonly device: string
  /** Set once the device exists. Without it the ADD has not finished. */
  readonly wired?: { readonly ifindex: number; readonly mac: string; readonly hostMac: string }
  /** Another plugin created the device, and deletes it. */
  readonly isChained?: boolean
  /** CLOCK_MONOTONIC in nanoseconds. Older mappings of the address belong to the pod that had it before. */
  readonly sinceNs: bigint
}

/**
 * The attachments of this node, one file each. If an agent is killed during an ADD, the next one reads there which address
 * and which device were meant for which pod.
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

  /** Writes the file first, so that no attachment is in use that a restart would forget. */
  put(attachment: Attachment): void {
    replaceFile(this.#path(attachment.containerId), encode(attachment), 0o600)
    this.#byContainer.set(attachment.containerId, attachment)
  }

  remove(containerId: string): void {
    rmSync(this.#path(containerId), { force: true })
    this.#byContainer.delete(containerId)
  }

  /** The runtime chooses the id. Characters that could lead out of the directory are replaced. */
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
    return undefined /* a crash of the machine may leave an empty file, and its container is gone as well */
  }
}
