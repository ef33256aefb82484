import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { repository } from '../../src/lab/layout.ts'
import { compileOtherVersion } from '../packets/other-version.ts'
import { cannotRun, eventually, hangTimeoutMs, labFor, seenByOutpost, type } from './lab-under-test.ts'
import { someNodes } from './story.ts'

/** Not in /tmp, which nodes have for themselves. */
const scratch = mkdtempSync(join(repository, 'build/layout-'))
after(() => rmSync(scratch, { recursive: true }))

const rolledOut = 'kubectl -n kube-system rollout status daemonset/cilium --timeout=120s'
const command = (...words: string[]): string =>
  `kubectl -n kube-system patch daemonset cilium --type json --patch '${JSON.stringify([
    { op: 'replace', path: '/spec/template/spec/containers/0/command', value: ['sallyport-agent', ...words] },
  ])}' && ${rolledOut}`

/** Sends a line every 100 ms on one connection until the file is there, and prints what the outpost answers to all of it. */
const stream = (end: string): string =>
  `kubectl exec xwing -- sh -c 'until [ -e ${end} ]; do date; sleep 0.1; done | curl -sN -T - --max-time 300 http://172.18.0.7:8000/'`

/** New connections until the file is there, each of which has to be answered. */
const knocking = (end: string): string =>
  `kubectl exec xwing -- sh -c 'until [ -e ${end} ]; do curl -s --max-time 10 http://172.18.0.7:8000 >/dev/null || echo failed; sleep 0.2; done'`

describe('agents of a version with other layouts', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-layout', {
    nodes: someNodes('kind-worker', 'kind-worker3'),
    story: { until: 'the policy' },
  })
  const run = (words: string): Promise<string> => type(lab.state(), words)

  /** Where agents find it: a folder of the node that they mount. */
  const putOnNodes = async (file: string): Promise<string> => {
    const path = '/run/sallyport/other-version.bpf.o'
    for (const { name } of lab.state().nodes) await run(`docker exec ${name} cp ${file} ${path}`)
    return path
  }

  /** What a pod sees while the agents of all nodes change, one after the other. */
  const changeUnderTraffic = async (name: string, change: () => Promise<string>): Promise<void> => {
    const state = lab.state()
    const before = await seenByOutpost(state)
    const end = `/run/end-of-${name}`
    const sending = run(stream(end))
    const knocked = run(knocking(end))
    await run(await change())
    await run(`kubectl exec xwing -- touch ${end}`)
    assert.match(await sending, /Access granted. Your source IP \(172\.18\.0\.42\)/)
    assert.equal(await knocked, '')
    const { '172.18.0.42': _, ...others } = await seenByOutpost(state)
    for (const [address, count] of Object.entries(others)) assert.equal(count, before[address], address)
  }

  for (const [direction, change] of [
    ['an upgrade', async () => command('--object-file', await putOnNodes(compileOtherVersion(scratch)))],
    ['a downgrade', async () => command()],
  ] as const)
    test(`${direction} to other layouts, node by node, breaks no connection and changes no address`, () =>
      changeUnderTraffic(direction.replace(' ', '-'), change))

  /* An agent with `tunnel` is to others as one of a version that knew no link path: it names no link and answers no probe there. */
  for (const [direction, path, takesLink] of [
    ['a downgrade to a version without', 'tunnel', false],
    ['an upgrade from a version without', 'auto', true],
  ] as const)
    test(`${direction} the link path, node by node, breaks no connection and changes no address`, async () => {
      await changeUnderTraffic(
        `path-${path}`,
        async () => `sallyport upgrade --set egressGateway.egressPath=${path}`,
      )
      await eventually(`packets are sent as ${path} says`, async () => {
        const says = await run('docker exec kind-worker sallyport status')
        return /Path to gateways: +by the link: kind-worker3/.test(says) === takesLink
      })
    })
})
