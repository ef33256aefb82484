import type { Address } from '../../../net/address.ts'
import type { Verdict } from './messages.ts'
import { timing } from './timing.ts'

/*
 * What this node may conclude from answers to its probes. If a gateway does not answer, it may be dead, or this node may be
 * cut off. The answers of other nodes tell which. All nodes are probed at the same moments, so if another node answers while
 * the gateway does not, this node's own path works.
 */

/** What is known about a probed node. Times are ns of CLOCK_MONOTONIC. 0n means never. */
export interface Contact {
  /** When the first probe was sent. */
  readonly sinceNs: bigint
  readonly answeredNs: bigint
  readonly refusedNs: bigint
  /** Until when new flows avoid it, because it failed too often. */
  readonly avoidedUntilNs: bigint
}

/** What ARP shows about the other node of a cluster of two. */
export interface LinkContact {
  /** When ARP began to ask without a pause. 0n if it does not ask now. */
  readonly askedSinceNs: bigint
  readonly answeredNs: bigint
}

interface Reach {
  readonly verdicts: ReadonlyMap<Address, Verdict>
  /** This node reaches no other node, and nothing shows that its own path works. */
  readonly isCutOff: boolean
}

/**
 * How much later than the gateway another node must have answered: two rounds of probes. If this node is cut off, all nodes
 * become silent within one round.
 */
const leadNs = BigInt(2 * timing.tickMs * timing.ticksPerProbe) * 1_000_000n
/** The other node's answer must not be older than the round before this one. */
const freshNs = leadNs
/** Three ARP requests without an answer. */
const linkSilenceNs = 300_000_000n

/**
 * Judges `gateways`. The others among `contacts` are witnesses only. In a cluster of two nodes there is no witness, so
 * `link` has the answers of the other node to ARP.
 */
export function judgeReach(
  contacts: ReadonlyMap<Address, Contact>,
  gateways: Iterable<Address>,
  link: LinkContact | undefined,
  now: bigint,
): Reach {
  const latest = [...contacts.values()].reduce((newest, contact) => later(newest, lastContact(contact)), 0n)
  const isAlone = contacts.size === 1
  const verdicts = new Map<Address, Verdict>()
  for (const gateway of gateways) {
    const contact = contacts.get(gateway)
    if (contact === undefined) continue
    const isUnreachable = isUnreachableAt(contact, now)
    const isShown = isAlone ? isLinkSilent(link, now) : isShownByOthers(contact, latest, now)
    verdicts.set(gateway, {
      isUnreachable,
      isWitnessed: isUnreachable && (isRecent(contact, now) || isShown),
    })
  }
  const isSomebodyThere = [...contacts.values()].some((contact) => isRecent(contact, now))
  const isCutOff = contacts.size > 0 && !isSomebodyThere && !(isAlone && isLinkSilent(link, now))
  return { verdicts, isCutOff }
}

function isUnreachableAt({ sinceNs, answeredNs, refusedNs, avoidedUntilNs }: Contact, now: bigint): boolean {
  if (avoidedUntilNs > now || refusedNs > answeredNs) return true
  return later(sinceNs, answeredNs) + timing.silenceNs <= now
}

/** The last answer or refusal. Both show that the path works. Packets from before the first probe do not count. */
function lastContact({ sinceNs, answeredNs, refusedNs }: Contact): bigint {
  const last = later(answeredNs, refusedNs)
  return last > sinceNs ? last : 0n
}

function isRecent(contact: Contact, now: bigint): boolean {
  const last = lastContact(contact)
  return last !== 0n && last + timing.silenceNs > now
}

function isShownByOthers(contact: Contact, latest: bigint, now: bigint): boolean {
  return latest >= later(lastContact(contact), contact.sinceNs) + leadNs && latest + freshNs > now
}

function isLinkSilent(link: LinkContact | undefined, now: bigint): boolean {
  if (link === undefined || link.askedSinceNs === 0n) return false
  return later(link.askedSinceNs, link.answeredNs) + linkSilenceNs <= now
}

function later(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}
