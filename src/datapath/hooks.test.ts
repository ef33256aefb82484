import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { attachProgram, loadVerdict, pin } from './bpf-syscall.ts'
import { clsact } from './clsact.ts'
import { createVeth, deleteDevice, findDevice } from './devices.ts'
import { type HookKind, HookTaken } from './hook-kind.ts'
import { Hooks, type Mechanism } from './hooks.ts'
import { libbpf, tcHook, tcOptions } from './libbpf.ts'
import { native } from './libc.ts'
import { Netlink } from './netlink.ts'
import { enterPrivateNamespaces, privateNamespacesRefused } from './private-namespaces.ts'
import { tcx } from './tcx.ts'

const skip = privateNamespacesRefused
const [accept, unspecified] = [0, -1]
const program = 'from_pod'

interface Ways {
  readonly kind: HookKind
  /** As another would, before all that is there. */
  readonly goAhead: (ifindex: number, fd: number) => void
  /** As somebody with the right tool would. */
  readonly takeAway: (ifindex: number) => void
}

const ways: Readonly<Record<Mechanism, Ways>> = {
  tcx: {
    kind: tcx,
    goAhead: (ifindex, fd) => attachProgram({ ifindex, attachType: 46 }, fd, 'go ahead'),
    takeAway: (ifindex) => tcx.detach({ ifindex, direction: 'ingress' }, program),
  },
  clsact: {
    kind: clsact,
    goAhead: (ifindex, programFd) => {
      const hook = tcHook(ifindex, 'ingress')
      libbpf().hookCreate(hook)
      assert.equal(libbpf().hookAttach(hook, tcOptions({ handle: 1, priority: 1, programFd })), 0)
    },
    takeAway: () => execFileSync('tc', ['qdisc', 'del', 'dev', 'h0', 'clsact']),
  },
}

/* Of this kernel: test/kernels/boot runs these on those without tcx. */
const mechanisms = (['tcx', 'clsact'] as const).filter(
  (mechanism) => skip || ways[mechanism].kind.list({ ifindex: 1, direction: 'ingress' }) !== undefined,
)

describe('programs on a device', { skip }, () => {
  let bpffs: string
  let ifindex: number
  const fds: number[] = []
  const load = (name: string, action: number): number => {
    const fd = loadVerdict(name, action)
    fds.push(fd)
    return fd
  }
  before(() => {
    bpffs = enterPrivateNamespaces()
  })
  beforeEach(() => {
    using netlink = new Netlink()
    const old = findDevice(netlink, 'h0')
    if (old !== undefined) deleteDevice(netlink, old.index)
    createVeth(netlink, { name: 'h0', peer: { name: 'h1' } })
    ifindex = findDevice(netlink, 'h0')?.index ?? 0
  })
  after(() => {
    for (const fd of fds) native.close(fd)
  })

  for (const mechanism of mechanisms) {
    const { kind, goAhead, takeAway } = ways[mechanism]
    const place = () => ({ ifindex, direction: 'ingress' as const })
    const names = () => kind.list(place())?.map(({ name }) => name)
    const open = () => new Hooks(join(bpffs, mechanism), mechanism)

    test(`${mechanism}: ours run before what another has put there, which stays`, () => {
      goAhead(ifindex, load('theirs', accept))
      const hooks = open()
      hooks.attach(program, load(program, unspecified), ifindex, 'ingress')
      assert.deepEqual(names(), [program, 'theirs'])
      for (const attachment of hooks.list()) hooks.detach(attachment)
      assert.deepEqual(names(), ['theirs'])
    })

    test(`${mechanism}: one that went ahead of ours is named, and ours go before it again`, () => {
      const hooks = open()
      const attachment = hooks.attach(program, load(program, unspecified), ifindex, 'ingress')
      assert.deepEqual(hooks.list(), [attachment])
      goAhead(ifindex, load('theirs', accept))
      assert.deepEqual(hooks.list(), [{ ...attachment, overtakenBy: ['theirs'] }])
      const newer = load(program, unspecified)
      for (const fd of [newer, newer]) hooks.attach(program, fd, ifindex, 'ingress')
      assert.deepEqual(names(), [program, 'theirs'])
      assert.deepEqual(hooks.list(), [attachment])
    })

    test(`${mechanism}: the same program goes before another's`, () => {
      const hooks = open()
      const fd = load(program, unspecified)
      hooks.attach(program, fd, ifindex, 'ingress')
      for (const theirs of ['theirs', 'others']) {
        if (mechanism === 'clsact' && theirs === 'others') kind.detach(place(), 'theirs')
        goAhead(ifindex, load(theirs, accept))
        hooks.attach(program, fd, ifindex, 'ingress')
        assert.deepEqual(names()?.slice(0, 2), [program, theirs])
      }
    })

    test(`${mechanism}: what was taken away is attached no longer, and is attached again`, () => {
      const hooks = open()
      const attachment = hooks.attach(program, load(program, unspecified), ifindex, 'ingress')
      takeAway(ifindex)
      assert.deepEqual(hooks.list(), [])
      assert.deepEqual(hooks.attach(program, load(program, unspecified), ifindex, 'ingress'), attachment)
      assert.deepEqual(names(), [program])
    })

    test(`${mechanism}: a program whose pin is lost is replaced, and never hangs there twice`, () => {
      open().attach(program, load(program, unspecified), ifindex, 'ingress')
      const hooks = new Hooks(join(bpffs, `${mechanism}-anew`), mechanism)
      assert.deepEqual(hooks.list(), [])
      hooks.attach(program, load(program, unspecified), ifindex, 'ingress')
      assert.deepEqual(names(), [program])
    })
  }

  if (mechanisms.includes('tcx'))
    test('tcx: the place that a killed agent held for its program is freed', () => {
      for (const name of ['theirs', program, 'sallyport_hold'])
        ways.tcx.goAhead(ifindex, load(name, unspecified))
      new Hooks(join(bpffs, 'tcx')).attach(program, load(program, unspecified), ifindex, 'ingress')
      assert.deepEqual(
        tcx.list({ ifindex, direction: 'ingress' })?.map(({ name }) => name),
        [program, 'theirs'],
      )
    })

  test('clsact: a filter for one protocol at the first priority is left alone, and named', () => {
    const pinned = join(bpffs, 'theirs')
    pin(load('theirs', accept), pinned)
    execFileSync('tc', ['qdisc', 'add', 'dev', 'h0', 'clsact'])
    const filter = ['prio', '1', 'protocol', 'ip', 'bpf', 'direct-action', 'object-pinned', pinned]
    execFileSync('tc', ['filter', 'add', 'dev', 'h0', 'ingress', ...filter])
    const hooks = new Hooks(join(bpffs, 'clsact'), 'clsact')
    assert.throws(
      () => hooks.attach(program, load(program, unspecified), ifindex, 'ingress'),
      (error) =>
        error instanceof HookTaken && /\(theirs\) has priority 1.*give it a later one/.test(error.message),
    )
    const left = clsact.list({ ifindex, direction: 'ingress' })
    assert.deepEqual(
      left?.map(({ name }) => name),
      ['theirs'],
    )
  })

  test('clsact: the qdisc ingress, whose one place packets of both directions would meet, is left alone', () => {
    execFileSync('tc', ['qdisc', 'add', 'dev', 'h0', 'ingress'])
    const hooks = new Hooks(join(bpffs, 'clsact'), 'clsact')
    assert.throws(
      () => hooks.attach('to_pod', load('to_pod', unspecified), ifindex, 'egress'),
      (error) => error instanceof HookTaken && /its qdisc is ingress/.test(error.message),
    )
    assert.deepEqual(clsact.list({ ifindex, direction: 'ingress' }), [])
  })
})
