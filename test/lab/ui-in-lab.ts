/** Runs on the lab's host, whose loopback has the page: opens it, takes a gateway's cable away, and prints in how many ms the page shows it. */
import { execFileSync, spawn } from 'node:child_process'
import { join } from 'node:path'
import { BrowserPage } from '../browser/chromium.ts'

const [gateway = '', cable = ''] = process.argv.slice(2)
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
try {
  await using browser = await BrowserPage.open()
  await browser.call('Page.navigate', { url })
  await browser.until('document.querySelector("#map svg rect") !== null', 30_000)
  execFileSync('ip', ['link', 'set', cable, 'down'])
  const ms = await browser.until(
    `document.querySelector('[data-gateway="${gateway}"]').classList.contains('bad')`,
  )
  await browser.until('document.getElementById("timeline").textContent.includes("holder changed")', 8_000)
  const timeline = await browser.read<string>('document.getElementById("timeline").innerText')
  const unknown = await browser.read<string>('document.getElementById("unknown").innerText')
  process.stdout.write(`${JSON.stringify({ ms, timeline, unknown })}\n`)
} finally {
  execFileSync('ip', ['link', 'set', cable, 'up'])
  command.kill()
}
