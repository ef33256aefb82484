import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../../test/support/private-namespaces.ts'
import { goAhead } from '../../../test/support/rival-program.ts'
import { createVeth, deleteDevice, findDevice } from '../../linux/devices.ts'
import { native } from '../../linux/libc.ts'
import { Netlink } from '../../linux/netlink.ts'
import { loadVerdict, pin } from '../bpf-syscall.ts'
import { clsact } from './clsact.ts'
import { HookTaken } from './hook-kind.ts'
import { Hooks, listMechanisms, type Mechanism } from './hooks.ts'
import { tcx } from './tcx.ts'

const skip = privateNamespacesRefused
const [accept, unspecified] = [0, -1]
const program = 'from_pod'

const kinds = { tcx, clsact } as const

/** Detaches the program as another tool would. */
function takeAway(mechanism: Mechanism, ifindex: number): void {
  if (mechanism === 'tcx') tcx.detach({ ifindex, direction: 'ingress' }, program)
  else execFileSync('tc', ['qdisc', 'del', 'dev', 'h0', 'clsact'])
}

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

  const mechanisms = skip ? [] : listMechanisms()
  for (const mechanism of mechanisms) {
    const kind = kinds[mechanism]
    const place = () => ({ ifindex, direction: 'ingress' as const })
    const names = () => kind.list(place())?.map(({ name }) => name)
    const open = () => new Hooks(join(bpffs, mechanism), mechanism)

    test(`${mechanism}: Sallyport's programs run before another product's programs, which stay`, () => {
      goAhead(mechanism, ifindex, 'theirs')
      const hooks = open()
      hooks.attach(program, load(program, unspecified), ifindex, 'ingress')
      assert.deepEqual(names(), [program, 'theirs'])
      for (const attachment of hooks.list()) hooks.detach(attachment)
      assert.deepEqual(names(), ['theirs'])
    })

    test(`${mechanism}: a program that went in front is named, and Sallyport's program goes back to the front`, () => {
      const hooks = open()
      const attachment = hooks.attach(program, load(program, unspecified), ifindex, 'ingress')
      assert.deepEqual(hooks.list(), [attachment])
      goAhead(mechanism, ifindex, 'theirs')
      assert.deepEqual(hooks.list(), [{ ...attachment, overtakenBy: ['theirs'] }])
      const newer = load(program, unspecified)
      for (const fd of [newer, newer]) hooks.attach(program, fd, ifindex, 'ingress')
      assert.deepEqual(names(), [program, 'theirs'])
      assert.deepEqual(hooks.list(), [attachment])
    })

    test(`${mechanism}: a program that is loaded again goes in front of another product's program`, () => {
      const hooks = open()
      const fd = load(program, unspecified)
      hooks.attach(program, fd, ifindex, 'ingress')
      for (const theirs of ['theirs', 'others']) {
        if (mechanism === 'clsact' && theirs === 'others') kind.detach(place(), 'theirs')
        goAhead(mechanism, ifindex, theirs)
        hooks.attach(program, fd, ifindex, 'ingress')
        assert.deepEqual(names()?.slice(0, 2), [program, theirs])
        assert.equal(names()?.filter((name) => name === program).length, 1)
      }
    })

    test(`${mechanism}: a program that another tool detached is not listed, and can be attached again`, () => {
      const hooks = open()
      const attachment = hooks.attach(program, load(program, unspecified), ifindex, 'ingress')
      takeAway(mechanism, ifindex)
      assert.deepEqual(hooks.list(), [])
      assert.deepEqual(hooks.attach(program, load(program, unspecified), ifindex, 'ingress'), attachment)
      assert.deepEqual(names(), [program])
    })

    test(`${mechanism}: a program whose pin is lost is replaced, not attached twice`, () => {
      open().attach(program, load(program, unspecified), ifindex, 'ingress')
      const hooks = new Hooks(join(bpffs, `${mechanism}-anew`), mechanism)
      assert.deepEqual(hooks.list(), [])
      hooks.attach(program, load(program, unspecified), ifindex, 'ingress')
      assert.deepEqual(names(), [program])
    })
  }

  if (mechanisms.includes('tcx'))
    test('tcx: the placeholder of an agent that was killed is removed', () => {
      for (const name of ['theirs', program, 'sallyport_hold']) goAhead('tcx', ifindex, name)
      new Hooks(join(bpffs, 'tcx')).attach(program, load(program, unspecified), ifindex, 'ingress')
      assert.deepEqual(
        tcx.list({ ifindex, direction: 'ingress' })?.map(({ name }) => name),
        [program, 'theirs'],
      )
    })

  test('clsact: an agent that was killed left two filters, and one of them is removed', () => {
    const hooks = new Hooks(join(bpffs, 'clsact'), 'clsact')
    const fd = load(program, unspecified)
    hooks.attach(program, fd, ifindex, 'ingress')
    goAhead('clsact', ifindex, program)
    hooks.attach(program, fd, ifindex, 'ingress')
    assert.deepEqual(
      clsact.list({ ifindex, direction: 'ingress' })?.map(({ name }) => name),
      [program],
    )
  })

  test('clsact: a filter for one protocol at the first priority is left alone and named', () => {
    const pinned = join(bpffs, 'theirs')
    pin(load('theirs', accept), pinned)
    execFileSync('tc', ['qdisc', 'add', 'dev', 'h0', 'clsact'])
    const filter = ['prio', '1', 'protocol', 'ip', 'bpf', 'direct-action', 'object-pinned', pinned]
    execFileSync('tc', ['filter', 'add', 'dev', 'h0', 'ingress', ...filter])
    const hooks = new Hooks(join(bpffs, 'clsact'), 'clsact')
    assert.throws(
      () => hooks.attach(program, load(program, unspecified), ifindex, 'ingress'),
      (error) =>
        error instanceof HookTaken &&
        /\(theirs\) have priority 1.*Give them a larger priority number, .* prio 2/.test(error.message),
    )
    const left = clsact.list({ ifindex, direction: 'ingress' })
    assert.deepEqual(
      left?.map(({ name }) => name),
      ['theirs'],
    )
  })

  test('clsact: the qdisc ingress is left alone, because it runs egress filters at ingress', () => {
    execFileSync('tc', ['qdisc', 'add', 'dev', 'h0', 'ingress'])
    const hooks = new Hooks(join(bpffs, 'clsact'), 'clsact')
    assert.throws(
      () => hooks.attach('to_pod', load('to_pod', unspecified), ifindex, 'egress'),
      (error) => error instanceof HookTaken && /its qdisc is ingress/.test(error.message),
    )
    assert.deepEqual(clsact.list({ ifindex, direction: 'ingress' }), [])
  })
})
