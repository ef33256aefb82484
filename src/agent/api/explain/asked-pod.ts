import { type Address, familyOf, parseAddress } from '../../../net/address.ts'
import type { Attachment } from '../../pods/attachments.ts'
import { HttpError } from '../http-error.ts'
import type { ExplainRequest } from './explanation.ts'

interface AskedPod {
  readonly attachment: Attachment
  /** The pod's, in the family of the destination. */
  readonly source: Address
  readonly destination: Address
}

/** The pod of this node that a question is about. Throws HttpError if there is none, or if it cannot send to the destination. */
export function findAskedPod(
  attachments: readonly Attachment[],
  self: string,
  { namespace, pod: name, to }: Pick<ExplainRequest, 'namespace' | 'pod' | 'to'>,
): AskedPod {
  const destination = parseAddress(to)
  if (destination === undefined) throw new HttpError(400, `${to} is not an IP address`)
  const attachment = attachments.find(({ pod }) => pod.namespace === namespace && pod.name === name)
  if (attachment === undefined)
    throw new HttpError(
      404,
      `pod ${namespace}/${name} has no network from Sallyport on node ${self}: it runs on another node, uses its node's network, or has not started`,
    )
  const source = attachment.addresses.find((address) => familyOf(address) === familyOf(destination))
  if (source === undefined)
    throw new HttpError(400, `pod ${namespace}/${name} has no IPv${familyOf(destination)} address`)
  return { attachment, source, destination }
}

/** For a pod without its device, or without its entries. */
export function notReady({ namespace, pod }: Pick<ExplainRequest, 'namespace' | 'pod'>): HttpError {
  return new HttpError(
    503,
    `pod ${namespace}/${pod} has just been created or deleted, so all its packets are dropped: try again`,
  )
}
