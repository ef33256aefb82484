import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { readPage } from '../../src/cli/ui/page-files.ts'
import { serveUi } from '../../src/cli/ui/server.ts'
import { BrowserPage, whyNoChromium } from './chromium.ts'
import { FakeCluster } from './fake-cluster.ts'

const skip = whyNoChromium ?? false

async function openPage(pods: number, nodes: number) {
  const cluster = new FakeCluster(pods, nodes)
  const { server, url } = await serveUi(readPage(), cluster, 0)
  const browser = await BrowserPage.open()
  return {
    ...{ cluster, browser, url },
    async [Symbol.asyncDispose]() {
      await browser[Symbol.asyncDispose]()
      server.close()
      server.closeAllConnections()
    },
  }
}

const hasMap = 'document.querySelector("#map svg rect") !== null'

test('1,000 pods are shown in two seconds, and scrolling and changes keep the page fluid', {
  skip,
}, async (t) => {
  await using opened = await openPage(1000, 20)
  const { browser, cluster, url } = opened
  const start = performance.now()
  await browser.call('Page.navigate', { url })
  await browser.until(hasMap)
  const startMs = performance.now() - start
  await browser.read(`window.tasks = []; new PerformanceObserver((list) => tasks.push(...list.getEntries().map(({ duration }) => duration)))
    .observe({ type: 'longtask' })`)
  const scrolled = browser.read<number[]>(`new Promise((resolve) => {
    const box = document.getElementById('pods'), gaps = []
    let last = performance.now()
    requestAnimationFrame(function step(now) {
      gaps.push(now - last)
      last = now
      box.scrollTop += 120
      if (gaps.length < 180) requestAnimationFrame(step)
      else resolve(gaps.slice(1).sort((a, b) => a - b))
    })
  })`)
  for (let change = 0; change < 6; change++) {
    cluster.change()
    await new Promise((resolve) => setTimeout(resolve, 300))
  }
  const gaps = await scrolled
  const tasks = await browser.read<number[]>('tasks')
  const rows = await browser.read<number>('document.querySelectorAll("#pods tbody tr").length')
  const [median = 0, p99 = 0] = [gaps[gaps.length >> 1], gaps[Math.floor(gaps.length * 0.99)]]
  t.diagnostic(
    `first picture ${Math.round(startMs)} ms; frames: median ${median.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms; long tasks: ${tasks.join(', ') || 'none'}`,
  )
  assert.ok(startMs < 2000, `${startMs} ms`)
  assert.ok(rows < 60, `${rows} rows exist`)
  assert.ok(median < 34, `median frame ${median} ms`)
  assert.ok(Math.max(0, ...tasks) < 200, `long tasks ${tasks}`)
})

test('a gateway’s death is shown and announced within a second', { skip }, async (t) => {
  await using opened = await openPage(24, 3)
  const { browser, cluster, url } = opened
  await browser.call('Page.navigate', { url })
  await browser.until(hasMap)
  await browser.call('Runtime.evaluate', { expression: 'scrollTo(0, 0)' })
  cluster.kill('gateway-a')
  const ms = await browser.until(
    `document.querySelector('[data-gateway="gateway-a"]').classList.contains('bad')`,
  )
  t.diagnostic(`shown after ${Math.round(ms)} ms`)
  assert.ok(ms < 1000, `${ms} ms`)
  assert.equal(
    await browser.read('document.getElementById("announcer").textContent'),
    'Gateway gateway-a is unreachable.',
  )
  assert.match(await browser.read('document.getElementById("timeline").textContent'), /probe lost/)
  const into = process.env.SALLYPORT_SCREENSHOTS
  if (into !== undefined)
    for (const theme of ['dark', 'light'] as const)
      writeFileSync(join(into, `ui-${theme}.png`), await browser.picture(theme))
})

test('the tab key reaches every part that scrolls, and each has a name', { skip }, async () => {
  await using opened = await openPage(24, 3)
  const { browser, url } = opened
  await browser.call('Page.navigate', { url })
  await browser.until(hasMap)
  const reached: string[] = []
  for (let press = 0; press < 7; press++) {
    for (const type of ['keyDown', 'keyUp'])
      await browser.call('Input.dispatchKeyEvent', {
        type,
        key: 'Tab',
        code: 'Tab',
        windowsVirtualKeyCode: 9,
      })
    reached.push(await browser.read('document.activeElement.id || document.activeElement.className'))
  }
  assert.deepEqual(reached, ['skip', 'map', 'policies', 'timeline', 'ports', 'pods', ''])
  const nameless = `[...document.querySelectorAll('[tabindex]')].filter((each) => !document.getElementById(each.getAttribute('aria-labelledby'))).length`
  assert.equal(await browser.read(nameless), 0)
})

/** As a file of the page would be: the page's own policy refuses scripts from elsewhere, but not those of the debugging protocol. */
const axe = readFileSync(new URL(import.meta.resolve('axe-core')), 'utf8')

for (const theme of ['dark', 'light'] as const)
  test(`axe finds no fault in the page in ${theme} colours, with all its parts and a dead gateway`, {
    skip,
  }, async () => {
    await using opened = await openPage(24, 3)
    const { browser, cluster, url } = opened
    await browser.theme(theme)
    await browser.call('Page.navigate', { url })
    await browser.until(hasMap)
    cluster.kill('gateway-a')
    await browser.until('document.querySelector("#timeline li") !== null')
    await browser.read(axe)
    const { violations, passes } = await browser.read<AxeResults>(
      'axe.run().then(({ violations, passes }) => ({ violations, passes: passes.map(({ id }) => id) }))',
    )
    assert.deepEqual(
      violations.map(
        ({ id, nodes }) => `${id}: ${nodes.map(({ failureSummary }) => failureSummary).join('; ')}`,
      ),
      [],
    )
    for (const rule of ['color-contrast', 'scrollable-region-focusable', 'th-has-data-cells'])
      assert.ok(passes.includes(rule), `${rule} was not checked: ${passes.join(', ')}`)
  })

interface AxeResults {
  readonly violations: readonly {
    readonly id: string
    readonly nodes: readonly { readonly failureSummary: string }[]
  }[]
  readonly passes: readonly string[]
}

test('the made-up cluster reports what a cluster can report', () => {
  const conditions = readFileSync(join(import.meta.dirname, '../../docs/conditions.md'), 'utf8')
  for (const { ready, reason } of new FakeCluster(4, 1).current().policies)
    assert.ok(conditions.includes(`| \`Ready\` | ${ready} | \`${reason}\` |`), reason)
})
