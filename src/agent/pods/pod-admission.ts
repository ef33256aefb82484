import type { Clock } from '../../runtime/clock.ts'
import { HttpError } from '../api/http-error.ts'
import type { Attachment } from './attachments.ts'

export interface Admission {
  readonly clock: Clock
  /** Whether the agent's watch has shown the pod, so that the tables can include it. */
  readonly isKnown: (pod: Attachment['pod']) => boolean
  /** Resolves when the tables are written with everything that is known now. */
  readonly settle: () => Promise<void>
}

/** How long an ADD waits until the agent's watch shows the pod. The kubelet has its own watch, which may be earlier. */
const knownWithinMs = 5_000

/** Waits until the pod is known. Without its labels the agent cannot tell which policies select it. */
export async function untilKnown({ clock, isKnown }: Admission, pod: Attachment['pod']): Promise<void> {
  for (const until = clock.monotonicMs() + knownWithinMs; !isKnown(pod); await clock.sleep(5))
    if (clock.monotonicMs() > until)
      throw new HttpError(
        503,
        `the agent has not seen pod ${pod.namespace}/${pod.name} yet: the API server may be unreachable`,
      )
}

/** Waits until the tables include the pod, so that an answered ADD means that its first packet is treated by its policies. */
export async function untilWritten({ settle, isKnown }: Admission, pod: Attachment['pod']): Promise<void> {
  try {
    await settle()
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new HttpError(503, `the pod waits because applying the tables failed: ${reason}`, { cause })
  }
  if (!isKnown(pod)) throw new HttpError(503, `pod ${pod.namespace}/${pod.name} was deleted during ADD`)
}
