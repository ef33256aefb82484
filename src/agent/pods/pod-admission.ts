import type { Clock } from '../../runtime/clock.ts'
import { HttpError } from '../api/http-error.ts'
import type { Attachment } from './attachments.ts'

export interface Admission {
  readonly clock: Clock
  /** Is the pod in what the tables are computed from? */
  readonly isKnown: (pod: Attachment['pod']) => boolean
  /** Resolves when tables that hold everything known now are written. */
  readonly settle: () => Promise<void>
}

/** How long an ADD waits for the pod to appear in the agent's own watch; the runtime saw it in another. */
const knownWithinMs = 5_000

/** Before a pod gets anything: without its labels nobody knows what holds for it. */
export async function untilKnown({ clock, isKnown }: Admission, pod: Attachment['pod']): Promise<void> {
  for (const until = clock.monotonicMs() + knownWithinMs; !isKnown(pod); await clock.sleep(5))
    if (clock.monotonicMs() > until)
      throw new HttpError(
        503,
        `the agent has not seen pod ${pod.namespace}/${pod.name} yet: the API server may be unreachable`,
      )
}

/** Before an ADD is answered: no first packet meets tables without its pod. */
export async function untilWritten({ settle, isKnown }: Admission, pod: Attachment['pod']): Promise<void> {
  try {
    await settle()
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new HttpError(503, `the pod waits because applying the tables failed: ${reason}`, { cause })
  }
  if (!isKnown(pod)) throw new HttpError(503, `pod ${pod.namespace}/${pod.name} was deleted during ADD`)
}
