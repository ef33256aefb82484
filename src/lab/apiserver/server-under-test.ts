import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { stringify } from 'yaml'

/** For tests: an API server on loopback with a folder of its own, and the real kubectl with a home of its own. */
export interface ServerUnderTest extends AsyncDisposable {
  readonly directory: string
  readonly kubectl: (
    words: readonly string[],
    input?: string,
    user?: string,
  ) => { code: number; output: string }
  /** Kills it in the middle of whatever it does, and starts it again on the same folder and port. */
  readonly restart: () => Promise<void>
  readonly url: string
  readonly token: string
  readonly ca: string
}

/** Why tests with kubectl cannot run here; false when they can. */
export function kubectlMissing(): string | false {
  const result = spawnSync('kubectl', ['version', '--client', '-o', 'json'], { encoding: 'utf8' })
  if (result.status !== 0) return 'kubectl is not here'
  const minor = Number.parseInt(
    (JSON.parse(result.stdout) as { clientVersion: { minor: string } }).clientVersion.minor,
    10,
  )
  return minor >= 30 ? false : `kubectl is 1.${minor}, and 1.30 or later is needed`
}

const tokens = { admin: 'admin-token', guest: 'guest-token' } as const

export async function startServer(kubeletPort = 10250): Promise<ServerUnderTest> {
  const directory = mkdtempSync(join(tmpdir(), 'sallyport-apiserver-'))
  const path = (name: string): string => join(directory, name)
  writeFileSync(path('tokens.csv'), `${tokens.admin},admin,1,"system:masters"\n${tokens.guest},guest,2\n`)
  writeFileSync(path('kubelet.token'), `kubelet-${kubeletPort}`)
  let port = 0
  let child = spawnServer()
  function spawnServer() {
    rmSync(path('ready'), { force: true })
    return spawn(
      process.execPath,
      [
        join(import.meta.dirname, 'main.ts'), '--listen', `127.0.0.1:${port}`, '--data-dir', path('data'),
        '--token-auth-file', path('tokens.csv'), '--kubelet-token-file', path('kubelet.token'), '--ready-file', path('ready'),
      ],
      { stdio: ['ignore', 'ignore', 'inherit'] },
    ) // biome-ignore format: one line a pair
  }
  async function untilReady(): Promise<void> {
    for (let tries = 0; tries < 200; tries++) {
      if (existsSync(path('ready'))) return
      await setTimeout(50)
    }
    throw new Error('the API server did not become ready within 10 s')
  }
  await untilReady()
  port = Number(readFileSync(path('ready'), 'utf8').trim())
  for (const [user, token] of Object.entries(tokens))
    writeFileSync(path(`${user}.kubeconfig`), kubeconfig(port, path('data'), token))
  return {
    directory,
    url: `https://127.0.0.1:${port}`,
    token: tokens.admin,
    ca: readFileSync(path('data/ca.crt'), 'utf8'),
    kubectl: (words, input, user = 'admin') => {
      const env = { PATH: process.env.PATH, HOME: directory, KUBECONFIG: path(`${user}.kubeconfig`) }
      const result = spawnSync('kubectl', words, {
        encoding: 'utf8',
        env,
        timeout: 30_000,
        ...(input === undefined ? {} : { input }),
      })
      return { code: result.status ?? 1, output: `${result.stdout}${result.stderr}`.trim() }
    },
    restart: async () => {
      child.kill('SIGKILL')
      child = spawnServer()
      await untilReady()
    },
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL')
      await new Promise((resolve) => child.once('exit', resolve))
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

function kubeconfig(port: number, data: string, token: string): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: 'test',
        cluster: { server: `https://127.0.0.1:${port}`, 'certificate-authority': join(data, 'ca.crt') },
      },
    ],
    users: [{ name: 'test', user: { token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'test' } }],
    'current-context': 'test',
  })
}
