import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { WebSocket } from 'ws'

const program = '/usr/bin/chromium'

/** Why no browser test can run here. Undefined if they can. */
export const whyNoChromium = existsSync(program)
  ? undefined
  : `${program} is missing: install Debian’s chromium`

/** Chromium sends nothing except for what the page asks, and that only to loopback. */
const flags = [
  ...['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run', '--no-default-browser-check'],
  ...[
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    '--disable-extensions',
  ],
  ...[
    '--disable-default-apps',
    '--disable-domain-reliability',
    '--disable-breakpad',
    '--metrics-recording-only',
  ],
  ...[
    '--proxy-server=http://127.0.0.1:9',
    '--proxy-bypass-list=127.0.0.1',
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
  ],
  ...['--window-size=1280,1000', '--remote-debugging-port=0', 'about:blank'],
]

/** A page in a headless Chromium, driven by its debugging protocol. */
export class BrowserPage implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #profile: string
  readonly #socket: WebSocket
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>()
  #session: string | undefined
  #id = 0

  private constructor(child: ChildProcess, profile: string, socket: WebSocket) {
    this.#child = child
    this.#profile = profile
    this.#socket = socket
    socket.on('message', (data) => {
      const { id, result, error } = JSON.parse(String(data))
      const waiting = this.#waiting.get(id)
      if (error !== undefined) waiting?.reject(new Error(error.message))
      else waiting?.resolve(result)
    })
  }

  static async open(): Promise<BrowserPage> {
    const profile = mkdtempSync(join(tmpdir(), 'sallyport-chromium-'))
    const child = spawn(program, [`--user-data-dir=${profile}`, ...flags], {
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const address = await new Promise<string>((resolve, reject) => {
      let text = ''
      child.stderr.on('data', (chunk) => {
        text += String(chunk)
        const found = /DevTools listening on (\S+)/.exec(text)?.[1]
        if (found !== undefined) resolve(found)
      })
      child.once('exit', (code) => reject(new Error(`chromium ended with ${code}: ${text}`)))
    })
    const socket = new WebSocket(address)
    await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject))
    const page = new BrowserPage(child, profile, socket)
    const { targetId } = await page.call<{ targetId: string }>('Target.createTarget', { url: 'about:blank' })
    const attached = await page.call<{ sessionId: string }>('Target.attachToTarget', {
      targetId,
      flatten: true,
    })
    page.#session = attached.sessionId
    return page
  }

  call<T>(method: string, params: object = {}): Promise<T> {
    const id = ++this.#id
    const waiting = Promise.withResolvers<unknown>()
    this.#waiting.set(id, waiting)
    this.#socket.send(JSON.stringify({ id, method, params, sessionId: this.#session }))
    return waiting.promise as Promise<T>
  }

  /** The value of an expression in the page. A promise is awaited. */
  async read<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.call<{ result: { value: T }; exceptionDetails?: object }>(
      'Runtime.evaluate',
      { expression, awaitPromise: true, returnByValue: true },
    )
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails))
    return result.value
  }

  /** Waits until an expression is true, and returns how long that took, in ms. */
  async until(expression: string, timeoutMs = 10_000): Promise<number> {
    const start = performance.now()
    while (!(await this.read<boolean>(expression).catch(() => false))) {
      if (performance.now() - start > timeoutMs)
        throw new Error(`not true after ${timeoutMs} ms: ${expression}`)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    return performance.now() - start
  }

  async theme(theme: 'dark' | 'light'): Promise<void> {
    await this.call('Emulation.setEmulatedMedia', {
      features: [{ name: 'prefers-color-scheme', value: theme }],
    })
  }

  /** A PNG. */
  async picture(theme: 'dark' | 'light'): Promise<Buffer> {
    await this.theme(theme)
    const { data } = await this.call<{ data: string }>('Page.captureScreenshot')
    return Buffer.from(data, 'base64')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#socket.close()
    this.#child.kill()
    await ended
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 })
  }
}
