import type { World, WorldPod } from '../decide/world.ts'
import type { Attachment } from './pods/attachments.ts'

/** A pod as the API server has it; the parts of it that the agent keeps. Its phase is none: its address counts while it has one. */
export type ObservedPod = Omit<WorldPod, 'ips'>

/**
 * The world as this node decides by it. Its pods' addresses are those that the node itself has given: the API server
 * learns them only after ADD has returned, and by then every entry must be in place.
 */
export function composeWorld(
  observed: Omit<World, 'pods'>,
  observedPods: Iterable<ObservedPod>,
  attachments: readonly Attachment[],
): World {
  const byName = new Map([...observedPods].map((pod) => [`${pod.namespace}/${pod.name}`, pod]))
  const pods = attachments.flatMap(({ pod: { namespace, name, uid }, addresses }) => {
    const pod = byName.get(`${namespace}/${name}`)
    if (pod === undefined || pod.hostNetwork || (uid !== '' && pod.uid !== uid)) return []
    return [{ ...pod, ips: addresses }]
  })
  return { ...observed, pods }
}
