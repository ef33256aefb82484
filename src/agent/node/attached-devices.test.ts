import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { before, beforeEach, describe, test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import { goAhead } from '../../../test/support/rival-program.ts'
import { type Datapath, openDatapath } from '../../datapath/datapath.ts'
import { clsact } from '../../datapath/hooks/clsact.ts'
import { listMechanisms, type Mechanism } from '../../datapath/hooks/hooks.ts'
import { tcx } from '../../datapath/hooks/tcx.ts'
import { createVeth, deleteDevice, findDevice } from '../../linux/devices.ts'
import { Netlink } from '../../linux/netlink.ts'
import type { Attachment } from '../pods/attachments.ts'
import { hookDevices, planHooks, podHooks, type WantedHook } from './attached-devices.ts'
import type { NodeDevice } from './node-network.ts'

const kinds = { tcx, clsact } as const
const well = { problems: [], repairs: [] }
const [better = 'clsact'] = privateNamespacesRefused ? [] : listMechanisms()

test('the tunnel, native devices and every pod that is wired are watched over, whoever has wired it', () => {
  const wire = { mac: '02:00:00:00:00:01', hostMac: '02:00:00:00:00:02' }
  const pods = [
    { device: 'ours', wired: { ifindex: 5, ...wire } },
    { device: 'theirs', wired: { ifindex: 6, ...wire }, isChained: true },
    { device: 'half-wired' },
  ] as readonly Partial<Attachment>[] as readonly Attachment[]
  const native = [{ index: 2, name: 'eth0' }] as readonly Partial<NodeDevice>[] as readonly NodeDevice[]
  const storage = { index: 4, name: 'eth1' } as unknown as NodeDevice
  const devices = [
    { index: 1, name: 'lo', isLoopback: true } as unknown as NodeDevice,
    ...native,
    { index: 3, name: 'sallyport' } as unknown as NodeDevice,
    storage,
    { index: 7, name: 'sallyport-fwd' } as unknown as NodeDevice,
  ]
  const overlay = { ifindex: 3, forwardIfindex: 7, mac: '02:00:00:00:00:03', mtu: 1450 }
  const planned = (servicesByStack: boolean, forwardsByStack = false, replacesKubeProxy = false): string[] =>
    planHooks(
      { overlay, devices, nativeDevices: native, attachments: pods },
      { servicesByStack, forwardsByStack, replacesKubeProxy },
    ).map(({ program, device }) => `${program} ${device}`)
  assert.deepEqual(planned(false), [
    'from_overlay sallyport',
    'from_world eth0',
    'to_pod ours',
    'from_pod ours',
    'to_pod theirs',
    'from_pod theirs',
  ])
  assert.deepEqual(
    planned(true).filter((hook) => !planned(false).includes(hook)),
    ['to_world eth0', 'to_world eth1'],
  )
  assert.deepEqual(
    planned(false, true).filter((hook) => !planned(false).includes(hook)),
    ['from_world lo', 'to_world eth0', 'to_world eth1'],
  )
  assert.deepEqual(
    planned(false, false, true).filter((hook) => !planned(false).includes(hook)),
    ['to_world eth0'],
  )
})

describe('programs on the devices of a node', { skip: privateNamespacesRefused }, () => {
  let bpffs: string
  let pod: number
  let world: number
  let wanted: WantedHook[]
  let count = 0
  const open = (mechanism: Mechanism = better): Datapath =>
    openDatapath({ pinDirectory: join(bpffs, `node-${count++}`), mechanism })
  const hooked = (datapath: Datapath): string[] =>
    datapath
      .attachments()
      .map(({ program, ifindex }) => `${program} ${ifindex === pod ? 'pod' : 'world'}`)
      .toSorted()
  const idOnPod = (): number | undefined =>
    kinds[better].list({ ifindex: pod, direction: 'ingress' })?.[0]?.id
  before(() => {
    bpffs = enterPrivateNamespaces()
  })
  beforeEach(() => {
    using netlink = new Netlink()
    const make = (name: string): number => {
      const old = findDevice(netlink, name)
      if (old !== undefined) deleteDevice(netlink, old.index)
      createVeth(netlink, { name, peer: { name: `${name}-far` } })
      return findDevice(netlink, name)?.index ?? 0
    }
    pod = make('pod')
    world = make('world')
    wanted = [
      { program: 'from_world', ifindex: world, direction: 'ingress', device: 'world' },
      ...podHooks(pod, 'pod'),
    ]
  })
  const all = ['from_pod pod', 'from_world world', 'to_pod pod']

  test('what is wanted hangs there, and nothing is done a second time', async () => {
    await using datapath = open()
    assert.deepEqual(hookDevices(datapath, wanted), well)
    assert.deepEqual(hooked(datapath), all)
    const id = idOnPod()
    assert.deepEqual(hookDevices(datapath, wanted), well)
    assert.equal(idOnPod(), id)
  })

  test('a device that is native no longer loses its program, a pod keeps its own', async () => {
    await using datapath = open()
    hookDevices(datapath, wanted)
    hookDevices(datapath, [])
    assert.deepEqual(hooked(datapath), ['from_pod pod', 'to_pod pod'])
  })

  test('a pod whose programs run on the tables of an earlier load, of which no pin tells, gets this load’s', async () => {
    {
      await using lost = open()
      hookDevices(lost, wanted)
    }
    const id = idOnPod()
    await using datapath = open()
    hookDevices(datapath, wanted)
    assert.notEqual(idOnPod(), id)
    assert.deepEqual(hooked(datapath), all)
  })

  test('what somebody takes away is hung there again', async () => {
    await using datapath = open('clsact')
    hookDevices(datapath, wanted)
    execFileSync('tc', ['qdisc', 'del', 'dev', 'pod', 'clsact'])
    assert.deepEqual(hooked(datapath), ['from_world world'])
    hookDevices(datapath, wanted)
    assert.deepEqual(hooked(datapath), all)
  })

  test('one that goes ahead of ours is named, and runs after it from then on', async () => {
    await using datapath = open()
    hookDevices(datapath, wanted)
    goAhead(better, pod, 'theirs')
    const { problems, repairs } = hookDevices(datapath, wanted)
    assert.deepEqual(problems, [])
    assert.match(repairs.join(), /^other programs ran before from_pod on device pod: theirs\. .* first again/)
    assert.deepEqual(hookDevices(datapath, wanted), well)
  })

  test('a device that is gone, and one that another keeps to itself, hold up no other', async () => {
    await using datapath = open('clsact')
    execFileSync('tc', ['qdisc', 'add', 'dev', 'pod', 'ingress'])
    const gone = podHooks(9999, 'gone')
    const { problems, repairs } = hookDevices(datapath, [...gone, ...wanted.toReversed()])
    assert.deepEqual(repairs, [])
    assert.equal(problems.length, 1)
    assert.match(
      problems.join(),
      /^Attaching to_pod to device pod failed: attach to_pod .*its qdisc is ingress/,
    )
    assert.deepEqual(hooked(datapath), ['from_pod pod', 'from_world world'])
  })
})
