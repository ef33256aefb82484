import type { World, WorldPod } from '../decide/world.ts'
import type { Attachment } from './pods/attachments.ts'

/**
 * The parts of a pod object that the agent keeps. Its phase is not among them, because its address counts as long as it has
 * one.
 */
export type ObservedPod = Omit<WorldPod, 'ips'>

/**
 * The world as this node decides by it. The node knows its pods' addresses itself. The API server learns them only after ADD
 * has returned, and by then every entry must be in place.
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
