import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'

const folder = mkdtempSync(join(tmpdir(), 'sallyport-stages-'))
after(() => rmSync(folder, { recursive: true }))
const configuration = join(folder, 'configuration')
mkdirSync(configuration)
const file = join(folder, 'termination-log')

/** The program as its container starts it. `NODE_OPTIONS` decides where it hangs. */
function start(program: string, nodeOptions: string): { readonly left: string; readonly stderr: string } {
  writeFileSync(file, '')
  const { stderr } = spawnSync(
    join(import.meta.dirname, '../../bin', program),
    ['--config-directory', configuration],
    {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, SALLYPORT_TERMINATION_LOG: file, NODE_OPTIONS: nodeOptions },
      timeout: nodeOptions === '' ? 60_000 : 8_000,
      killSignal: 'SIGKILL',
    },
  )
  return { left: readFileSync(file, 'utf8'), stderr }
}

const wait = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)),0,0)'
const runFirst = (script: string): string => `--import=data:text/javascript,${encodeURIComponent(script)}`

/** The whole thread waits in a futex, as in a start that hung under load. */
const hang = {
  atOnce: runFirst(wait),
  readingTheConfiguration: runFirst(
    `process.getBuiltinModule('node:fs').readdirSync=()=>${wait};process.getBuiltinModule('node:module').syncBuiltinESMExports()`,
  ),
}

for (const program of ['sallyport-agent', 'sallyport-operator'])
  describe(program, () => {
    test('that hangs before its first line of code leaves where it stood', () => {
      assert.equal(
        start(program, hang.atOnce).left,
        'the start stopped at: Node.js starts and loads the sources\n',
      )
    })

    test('that hangs later leaves the stage that it logged', () => {
      const { left, stderr } = start(program, hang.readingTheConfiguration)
      assert.equal(left, 'the start stopped at: read the configuration')
      assert.match(stderr, /"stage":"read the configuration"/)
    })

    test('that ends with an error leaves nothing, so that its log is shown', () => {
      const { left, stderr } = start(program, '')
      assert.equal(left, '')
      assert.match(stderr, /"stage":"read the configuration"/)
      assert.match(stderr, /"level":60/)
    })
  })
