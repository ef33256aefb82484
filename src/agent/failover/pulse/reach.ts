import type { Address } from '../../../net/address.ts'
import type { Verdict } from './messages.ts'
import { timing } from './timing.ts'

/*
 * What this node may conclude from the answers to its probes. A gateway that does not answer may be dead, or this node may
 * be the one that is cut off. Only the answers of others tell which: all are probed at the same moments, so a node
 * that keeps answering while the gateway does not shows that this node's own path works.
 */

/** What is known of one node that is probed. Times are nanoseconds of CLOCK_MONOTONIC; 0n is never. */
export interface Contact {
  /** Since when it has been probed. */
  readonly sinceNs: bigint
  readonly answeredNs: bigint
  readonly refusedNs: bigint
  /** Until when it is avoided because it came and went too often. */
  readonly avoidedUntilNs: bigint
}

/** What ARP says of the only other node of a cluster. */
export interface LinkContact {
  /** Since when it has been asked without a pause; 0n: it is not asked now. */
  readonly askedSinceNs: bigint
  readonly answeredNs: bigint
}

interface Reach {
  readonly verdicts: ReadonlyMap<Address, Verdict>
  /** This node reaches no other node, and cannot show that it is not the one that is cut off. */
  readonly isCutOff: boolean
}

/**
 * How much later than the gateway others must have answered: two rounds of probes. When this node is cut off, all fall
 * silent within one round.
 */
const leadNs = BigInt(2 * timing.tickMs * timing.ticksPerProbe) * 1_000_000n
/** And how fresh that answer must be: not older than the round before this one. */
const freshNs = leadNs
/** Three ARP requests without an answer. */
const linkSilenceNs = 300_000_000n

/**
 * `gateways` are judged; the others among `contacts` are witnesses alone. `link` is about the only other node, in a cluster
 * of two, where no third node can be a witness.
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

/** It answered or refused, both of which show that the path works. What came before it was probed shows nothing. */
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
