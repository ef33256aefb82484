import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { describe, test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { cannotRun, hangTimeoutMs } from './lab-under-test.ts'

describe('the demo in a terminal', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  test('the demo ends with the address of a page that this machine can open, until ctrl-C', async () => {
    const command = `${process.execPath} ${join(import.meta.dirname, 'demo-in-terminal.ts')}`
    const demo = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] })
    const ended = once(demo, 'close')
    try {
      await checkPage(demo, ended)
    } finally {
      if (demo.exitCode === null) demo.stdin.write('\x03')
      await ended
    }
  })

  async function checkPage(
    demo: ChildProcessByStdio<Writable, Readable, null>,
    ended: Promise<unknown>,
  ): Promise<void> {
    let printed = ''
    const url = await new Promise<string>((resolve, reject) => {
      demo.stdout.on('data', (chunk) => {
        printed += chunk
        const [found] = /http:\/\/127\.0\.0\.1:\d+\/\?token=\S+(?=\s)/.exec(printed) ?? []
        if (found !== undefined) resolve(found)
      })
      demo.once('close', () => reject(new Error(`the demo ended: ${printed}`)))
    })
    const response = await fetch(url, { redirect: 'manual' })
    assert.equal(response.status, 303)
    const cookie = (response.headers.get('set-cookie') ?? '').split(';')[0] ?? ''
    const page = await fetch(new URL('/', url), { headers: { cookie } })
    assert.match(await page.text(), /<h1>Sallyport<\/h1>/)
    const picture = await fetch(new URL('/picture', url), { headers: { cookie } })
    assert.ok(Array.isArray(((await picture.json()) as { policies?: unknown }).policies))
    demo.stdin.write('\x03')
    await ended
    assert.match(
      stripVTControlCharacters(printed),
      /To remove the lab, press ctrl-C\.\s[\s\S]*Nothing is left behind\.\s*$/,
    )
    await assert.rejects(fetch(url, { redirect: 'manual' }))
  }
})
