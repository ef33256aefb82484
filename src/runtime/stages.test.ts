import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'

const folder = mkdtempSync(join(tmpdir(), 'sallyport-stages-'))
after(() => rmSync(folder, { recursive: true }))
const configuration = join(folder, 'configuration')
mkdirSync(configuration)

/** How long a program of which more is expected may take, on a slow machine. */
const patienceMs = 60_000
/** What hangs does nothing more. This long nothing more must appear. */
const quietMs = 500

interface Start {
  readonly left: string
  readonly stderr: string
  readonly hasEnded: boolean
}

/**
 * Starts the program as its container does, until it has ended or `isThere` and nothing more appears. `nodeOptions` decides where it
 * hangs.
 */
async function start(program: string, nodeOptions: string, isThere: (so: Start) => boolean): Promise<Start> {
  const file = join(mkdtempSync(join(folder, 'start-')), 'termination-log')
  writeFileSync(file, '')
  const child = spawn(
    join(import.meta.dirname, '../../bin', program),
    ['--config-directory', configuration],
    {
      env: { PATH: process.env.PATH, SALLYPORT_TERMINATION_LOG: file, NODE_OPTIONS: nodeOptions },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  )
  let [stderr, hasEnded] = ['', false]
  child.stderr.on('data', (chunk) => (stderr += chunk))
  child.on('close', () => (hasEnded = true))
  const read = (): Start => ({ left: readFileSync(file, 'utf8'), stderr, hasEnded })
  const end = Date.now() + patienceMs
  while (!hasEnded && !isThere(read()) && Date.now() < end) await setTimeout(20)
  if (!hasEnded) await setTimeout(quietMs)
  child.kill('SIGKILL')
  return read()
}

const wait = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)),0,0)'
const runFirst = (script: string): string => `--import=data:text/javascript,${encodeURIComponent(script)}`

/** The whole thread waits in a futex, as in a start that hung under load. It says so first. */
const hang = {
  atOnce: runFirst(`process.getBuiltinModule('node:fs').writeSync(2,'hangs');${wait}`),
  readingTheConfiguration: runFirst(
    `process.getBuiltinModule('node:fs').readdirSync=()=>${wait};process.getBuiltinModule('node:module').syncBuiltinESMExports()`,
  ),
}

for (const program of ['sallyport-agent', 'sallyport-operator'])
  describe(program, () => {
    test('that hangs before its first line of code leaves where it stood', async () => {
      const { left, hasEnded } = await start(program, hang.atOnce, ({ stderr }) => stderr === 'hangs')
      assert.equal(left, 'the start stopped at: Node.js starts and loads the sources\n')
      assert.equal(hasEnded, false)
    })

    test('that hangs later leaves the stage that it logged', async () => {
      const stage = 'read the configuration'
      const { left, stderr, hasEnded } = await start(program, hang.readingTheConfiguration, (so) =>
        so.stderr.includes(stage),
      )
      assert.equal(left, `the start stopped at: ${stage}`)
      assert.match(stderr, /"stage":"read the configuration"/)
      assert.equal(hasEnded, false)
    })

    test('that ends with an error leaves nothing, so that its log is shown', async () => {
      const { left, stderr, hasEnded } = await start(program, '', () => false)
      assert.equal(hasEnded, true)
      assert.equal(left, '')
      assert.match(stderr, /"stage":"read the configuration"/)
      assert.match(stderr, /"level":60/)
    })
  })
