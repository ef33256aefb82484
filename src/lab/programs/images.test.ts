import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { findImage, unknownImage } from './images.ts'

describe('images', () => {
  const cases = [
    { reference: 'busybox', expect: 'docker.io/library/busybox' },
    { reference: 'busybox:1.36', expect: 'docker.io/library/busybox' },
    { reference: 'tgraf/netperf', expect: 'docker.io/tgraf/netperf' },
    { reference: 'docker.io/tgraf/netperf', expect: 'docker.io/tgraf/netperf' },
    { reference: 'registry.k8s.io/pause:3.9', expect: 'registry.k8s.io/pause' },
    { reference: 'registry.k8s.io/pause@sha256:00', expect: 'registry.k8s.io/pause' },
    { reference: 'registry:5000/busybox', expect: undefined },
    { reference: 'localhost/busybox', expect: undefined },
    { reference: 'nobody/nothing', expect: undefined },
  ]
  for (const { reference, expect } of cases)
    test(`${reference} is ${expect ?? 'not known'}`, () => assert.equal(findImage(reference)?.name, expect))

  test('who asks for an unknown one learns which there are', () =>
    assert.match(unknownImage('nobody/nothing'), /cannot pull nobody\/nothing: use one of .*busybox/))
})
