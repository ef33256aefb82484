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

  test('a gateway’s death is shown within a second, and the timeline tells of the new holder', async (t) => {
    const script = new URL('ui-in-lab.ts', import.meta.url).pathname
    const gateway = lab.state().nodes.find(({ name }) => name === 'kind-worker3')
    assert.ok(gateway !== undefined)
    const output = await type(lab.state(), `node ${script} kind-worker3 veth4`)
    const { ms, timeline } = JSON.parse(output.split('\n').at(-1) ?? '') as { ms: number; timeline: string }
    t.diagnostic(`shown after ${Math.round(ms)} ms\n${timeline}`)
    assert.ok(ms < 1000, `${ms} ms`)
    assert.match(timeline, /probe lost/)
    assert.match(timeline, /holder changed/)
  })
})
