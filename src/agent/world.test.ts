import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { address, world } from '../../test/support/world-builder.ts'
import { trimPod } from './observe.ts'
import type { Attachment } from './pods/attachments.ts'
import { composeWorld, type ObservedPod } from './world.ts'

const observed = (name: string, uid: string, changes: Partial<ObservedPod> = {}): ObservedPod => ({
  name,
  uid,
  namespace: 'default',
  labels: { app: name },
  nodeName: 'worker',
  hostNetwork: false,
  ...changes,
})

const attachment = (name: string, uid: string, ip: string): Attachment => ({
  containerId: `container-of-${uid}`,
  interfaceName: 'eth0',
  pod: { namespace: 'default', name, uid },
  addresses: [address(ip)],
  device: `sp-${uid}`,
  sinceNs: 1n,
})

/** Whose pods have which address, by uid. */
const addresses = (
  pods: readonly ObservedPod[],
  attachments: readonly Attachment[],
): Record<string, string> => {
  const { pods: _, ...rest } = world()
  const composed = composeWorld(rest, pods, attachments)
  return Object.fromEntries(composed.pods.map(({ uid, ips }) => [uid, ips.join()]))
}

describe('a pod has the addresses that this node gave it', () => {
  test('before the API server has heard of them', () => {
    assert.deepEqual(addresses([observed('web-0', 'a')], [attachment('web-0', 'a', '10.244.1.5')]), {
      a: '10.244.1.5',
    })
  })

  test('and none by its name alone: a StatefulSet’s next pod has the name of the last', () => {
    const before = attachment('web-0', 'old', '10.244.1.5')
    assert.deepEqual(addresses([observed('web-0', 'new')], [before]), {})
    const both = [before, attachment('web-0', 'new', '10.244.1.6')]
    assert.deepEqual(addresses([observed('web-0', 'new')], both), { new: '10.244.1.6' })
  })

  test('also if another pod had that address a moment ago', () => {
    const pods = [observed('done', 'a'), observed('next', 'b')]
    assert.deepEqual(addresses(pods, [attachment('next', 'b', '10.244.1.5')]), { b: '10.244.1.5' })
  })

  test('and none that is the node’s own', () => {
    const pods = [observed('agent', 'a', { hostNetwork: true })]
    assert.deepEqual(addresses(pods, [attachment('agent', 'a', '172.18.0.2')]), {})
  })

  test('and no pod that the API server has not shown yet', () => {
    assert.deepEqual(addresses([], [attachment('ghost', 'a', '10.244.1.5')]), {})
  })
})

test('a pod keeps its service account, by which policies may select it', () => {
  const metadata = { name: 'xwing', namespace: 'default', uid: 'uid', labels: {} }
  const spec = { nodeName: 'worker', serviceAccountName: 'pilot' }
  assert.equal(trimPod({ metadata, spec }).serviceAccount, 'pilot')
})
