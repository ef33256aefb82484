import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { whyNoChromium } from '../browser/chromium.ts'
import { cannotRun, hangTimeoutMs, labFor, type } from './lab-under-test.ts'
import { someNodes } from './story.ts'

describe('the page of a lab', { skip: cannotRun || (whyNoChromium ?? false), timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-ui', {
    nodes: someNodes('kind-worker', 'kind-worker3', 'kind-worker4'),
    story: { until: 'the policy' },
  })

  const run = (command: string): Promise<string> => type(lab.state(), command)
  const flows = new URL('many-flows.ts', import.meta.url).pathname
  const inLab = new URL('ui-in-lab.ts', import.meta.url).pathname
  const node = process.execPath

  test('a gateway’s death is shown within a second, and the timeline tells the whole failover', async (t) => {
    const serve = `setsid ${node} ${flows} serve 9100 >/dev/null 2>&1 </dev/null &`
    await run(`docker exec remote-outpost sh -c '${serve}'`)
    /* It goes on while the gateway dies, and its packets come back through the other one. */
    const held = run(`kubectl exec xwing -- timeout 90 ${node} ${flows} hold 172.18.0.7 9100 40001 || true`)
    const gone = held.then(
      () => {},
      () => {},
    )
    const output = await run(`${node} ${inLab} kind-worker3 veth4`)
    const said = JSON.parse(output.split('\n').at(-1) ?? '') as Said
    const { printedMs, firstMs, ms, timeline } = said
    t.diagnostic(
      `typed to address: ${Math.round(printedMs)} ms, to first picture: ${Math.round(firstMs)} ms; death shown after ${Math.round(ms)} ms\n${timeline}`,
    )
    assert.ok(ms < 1000, `${ms} ms`)
    assert.match(timeline, /probe lost/)
    assert.match(timeline, /holder changed/)
    assert.match(timeline, /address announced kind-worker4 announced 172\.18\.0\.42/)
    const [, afterMs] =
      /flows back kind-worker gets packets for 172\.18\.0\.42 again, (\d+) ms after/.exec(timeline) ?? []
    assert.ok(Number(afterMs) > 100 && Number(afterMs) < 10_000, timeline)
    await run('kubectl delete pod xwing --grace-period=1')
    await gone
  })
})

interface Said {
  readonly printedMs: number
  readonly firstMs: number
  readonly ms: number
  readonly timeline: string
}
