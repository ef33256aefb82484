import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { stringify } from 'yaml'
import { clientToolsFolder, kubectlProblem, type ToolAge } from '../../src/lab/programs/client-tools.ts'

interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

interface Answer {
  readonly code: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

/** Long, because tests share a machine with others. */
const readyWithinMs = 60_000
const pollEveryMs = 20

/** Which kubectl the tests use: the same tests run with the oldest, too. */
const kubectlAge: ToolAge = process.env.SALLYPORT_TEST_KUBECTL === 'oldest' ? 'oldest' : 'newest'

/** Why tests with kubectl cannot run here; false when they can. */
export const kubectlMissing: string | false =
  kubectlAge === 'newest'
    ? (kubectlProblem() ?? false)
    : !existsSync(clientToolsFolder('oldest')) && 'kubectl 1.28 is missing: run ./setup on x86-64'

/** Why tests that run commands in pods cannot run here; false when they can. */
export const execMissing: string | false =
  kubectlMissing ||
  (kubectlAge === 'oldest' && 'kubectl 1.28 runs commands over SPDY, which this API server does not speak')

/** For tests: the API server as a process of its own on 127.0.0.1, with a home directory for kubectl. */
export class RunningServer {
  readonly directory = mkdtempSync(join(tmpdir(), 'apiserver-test-'))
  readonly adminToken = 'admin-token'
  readonly kubeletToken = 'kubelet-token'
  readonly #moreWords: readonly string[]
  #process: ChildProcess | undefined
  #port = 0

  private constructor(moreWords: readonly string[]) {
    this.#moreWords = moreWords
  }

  static async open(
    moreTokens: readonly string[] = [],
    moreWords: readonly string[] = [],
  ): Promise<RunningServer> {
    const server = new RunningServer(moreWords)
    const tokens = [`${server.adminToken},admin,1,"system:masters"`, ...moreTokens]
    writeFileSync(server.path('tokens.csv'), `${tokens.join('\n')}\n`)
    writeFileSync(server.path('kubelet.token'), server.kubeletToken)
    await server.start()
    return server
  }

  path(name: string): string {
    return join(this.directory, name)
  }

  get url(): string {
    return `https://127.0.0.1:${this.#port}`
  }

  get ca(): string {
    return readFileSync(this.path('data/ca.crt'), 'utf8')
  }

  /** Keeps its port over restarts, as a server behind a kubeconfig does. */
  async start(): Promise<void> {
    const ready = this.path('ready')
    rmSync(ready, { force: true })
    const words = [
      ...[
        '--disable-warning=ExperimentalWarning',
        join(import.meta.dirname, '../../src/lab/apiserver/main.ts'),
      ],
      ...['--listen', `127.0.0.1:${this.#port}`, '--data-dir', this.path('data')],
      ...['--token-auth-file', this.path('tokens.csv'), '--kubelet-token-file', this.path('kubelet.token')],
      ...['--ready-file', ready, ...this.#moreWords],
    ]
    /* Not our own output: a test runner waits until the last process that has it is gone. */
    const log = openSync(this.path('server.log'), 'a')
    const child = spawn(process.execPath, words, { stdio: ['ignore', log, log] })
    closeSync(log)
    this.#process = child
    const deadline = Date.now() + readyWithinMs
    while (!existsSync(ready) || readFileSync(ready, 'utf8') === '') {
      if (child.exitCode !== null || Date.now() > deadline) {
        await this.kill()
        throw new Error(
          `the API server did not start: ${readFileSync(this.path('server.log'), 'utf8').slice(-2000)}`,
        )
      }
      await delay(pollEveryMs)
    }
    this.#port = Number(readFileSync(ready, 'utf8').trim())
  }

  /** As a crash does it: no chance to finish anything. */
  async kill(): Promise<void> {
    const child = this.#process
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
  }

  async kubectl(words: string, input = '', token = this.adminToken): Promise<Outcome> {
    return this.run(['kubectl', ...words.split(/\s+/).filter((word) => word !== '')], input, token)
  }

  async run(words: readonly string[], input = '', token = this.adminToken): Promise<Outcome> {
    const kubeconfig = this.path(`kubeconfig-${token.slice(0, 20)}`)
    writeFileSync(kubeconfig, stringify(this.#kubeconfig(token)), { mode: 0o600 })
    const [command = '', ...rest] = words
    return new Promise((resolve) => {
      const child = execFile(
        command,
        rest,
        { env: this.#environment(kubeconfig), timeout: 30_000 },
        (error, stdout, stderr) =>
          resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }),
      )
      child.stdin?.end(input)
    })
  }

  #environment(kubeconfig: string): NodeJS.ProcessEnv {
    const path = [clientToolsFolder(kubectlAge), process.env.PATH].join(delimiter)
    return { ...process.env, PATH: path, HOME: this.directory, KUBECONFIG: kubeconfig }
  }

  #kubeconfig(token: string): object {
    return {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        { name: 'test', cluster: { server: this.url, 'certificate-authority': this.path('data/ca.crt') } },
      ],
      users: [{ name: 'test', user: { token } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
      'current-context': 'test',
    }
  }

  /** A bare request, for what kubectl would not say. */
  async ask(
    method: string,
    path: string,
    body?: string | Buffer | object,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const bytes =
      body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
    return new Promise((resolve, reject) => {
      const outgoing = request(
        `${this.url}${path}`,
        {
          method,
          agent: false,
          ca: this.ca,
          headers: {
            authorization: `Bearer ${this.adminToken}`,
            'content-type': 'application/json',
            // Node.js frames a body by itself for POST, PUT and PATCH only.
            ...(bytes === undefined ? {} : { 'content-length': String(Buffer.byteLength(bytes)) }),
            ...headers,
          },
        },
        (incoming) => {
          const chunks: Buffer[] = []
          incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
          incoming.once('error', reject)
          incoming.once('end', () =>
            resolve({
              code: incoming.statusCode ?? 0,
              headers: incoming.headers,
              text: Buffer.concat(chunks).toString('utf8'),
            }),
          )
        },
      )
      outgoing.once('error', reject)
      outgoing.end(bytes)
    })
  }

  /** The lines of a watch, as they come. Ends with the signal, or with the server. */
  async *watch(path: string, signal: AbortSignal): AsyncGenerator<{ type: string; object: never }> {
    const incoming = await new Promise<AsyncIterable<Buffer>>((resolve, reject) => {
      request(
        `${this.url}${path}`,
        { ca: this.ca, signal, agent: false, headers: { authorization: `Bearer ${this.adminToken}` } },
        resolve,
      )
        .once('error', reject)
        .end()
    })
    let rest = ''
    for await (const chunk of incoming) {
      const lines = (rest + chunk.toString('utf8')).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) yield JSON.parse(line)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    rmSync(this.directory, { recursive: true, force: true })
  }
}
