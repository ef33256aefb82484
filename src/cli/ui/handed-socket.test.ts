import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'

const directory = mkdtempSync(join(tmpdir(), 'sallyport-ui-'))
after(() => rmSync(directory, { recursive: true }))
const kubeconfig = join(directory, 'kubeconfig')
/* Nothing listens there. The page says so. */
const access = {
  ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'c' },
  clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:1', 'insecure-skip-tls-verify': true } }],
  users: [{ name: 'u', user: { token: 'x' } }],
  contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
}
writeFileSync(kubeconfig, JSON.stringify(access))

async function handSocket() {
  const socket = createServer().listen(0, '127.0.0.1')
  await once(socket, 'listening')
  const child = spawn(join(import.meta.dirname, '../../../bin/sallyport'), ['ui', '--handed'], {
    env: { ...process.env, KUBECONFIG: kubeconfig },
    stdio: ['ignore', 'pipe', 'inherit', 'ipc'],
  })
  child.send('socket', socket, () => socket.close())
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout?.on('data', (chunk) => {
      const [found] = /http:\S+/.exec(String(chunk)) ?? []
      if (found !== undefined) resolve(found)
    })
    child.once('exit', (code) => reject(new Error(`the command ended with ${code}`)))
  })
  return { child, url }
}

for (const [what, end] of [
  ['is interrupted', (child: ChildProcess) => void child.kill('SIGINT')],
  ['loses its parent', (child: ChildProcess) => child.disconnect()],
] as const)
  test(`the page answers on a socket that the parent process made, until the command ${what}`, async () => {
    const { child, url } = await handSocket()
    try {
      assert.equal((await fetch(url, { redirect: 'manual' })).status, 303)
      end(child)
      const [code] = await once(child, 'exit', { signal: AbortSignal.timeout(10_000) })
      assert.equal(code, 0)
      await assert.rejects(fetch(url, { redirect: 'manual' }))
    } finally {
      child.kill('SIGKILL')
    }
  })
