/**
 * Runs on the lab's host, whose loopback has the page: opens it, takes a gateway's cable away, and prints as JSON how long the first picture
 * took, in how many ms the page showed the death, and the timeline once it tells the whole failover.
 */
import { execFileSync, spawn } from 'node:child_process'
import { join } from 'node:path'
import { BrowserPage } from '../browser/chromium.ts'

const [gateway = '', cable = ''] = process.argv.slice(2)
await using browser = await BrowserPage.open()
const typedAt = performance.now()
const command = spawn(join(import.meta.dirname, '../../bin/sallyport'), ['ui'])
const url = await new Promise<string>((resolve, reject) => {
  let text = ''
  command.stdout.on('data', (chunk) => {
    text += String(chunk)
    const found = /http:\S+/.exec(text)?.[0]
    if (found !== undefined) resolve(found)
  })
  command.once('exit', () => reject(new Error(`the command ended: ${text}`)))
})
const printedMs = performance.now() - typedAt
const tells = (about: string): Promise<number> =>
  browser.until(`document.getElementById("timeline").textContent.includes("${about}")`, 12_000)
try {
  await browser.call('Page.navigate', { url })
  await browser.until('document.querySelector("#map svg rect") !== null', 30_000)
  const firstMs = performance.now() - typedAt
  execFileSync('ip', ['link', 'set', cable, 'down'])
  const ms = await browser.until(
    `document.querySelector('[data-gateway="${gateway}"]').classList.contains('bad')`,
  )
  for (const about of ['holder changed', 'address announced', 'flows back']) await tells(about)
  const timeline = await browser.read<string>('document.getElementById("timeline").innerText')
  const unknown = await browser.read<string>('document.getElementById("unknown").innerText')
  process.stdout.write(`${JSON.stringify({ printedMs, firstMs, ms, timeline, unknown })}\n`)
} finally {
  execFileSync('ip', ['link', 'set', cable, 'up'])
  command.kill()
}
