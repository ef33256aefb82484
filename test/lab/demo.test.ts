import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import { listLabs, loadLab } from '../../src/lab/lab-state.ts'
import { repository } from '../../src/lab/layout.ts'
import { runDemo } from '../../src/lab/walkthrough/demo.ts'
import { type Step, succeeds } from '../../src/lab/walkthrough/step.ts'
import { firstHalf } from '../../src/lab/walkthrough/steps.ts'
import { cannotRun, hangTimeoutMs } from './lab-under-test.ts'

const labsOf = (pid: number | undefined): readonly string[] =>
  listLabs().filter((name) => name.startsWith('demo') && loadLab(name)?.startedBy.pid === pid)

/** As a scheduler would that prefers the other worker. The walkthrough's own test has the other order. */
const elsewhere = (step: Step): Step => {
  if (!step.command.startsWith('kubectl run xwing')) return step
  return { ...step, command: `${step.command} --overrides '{"spec":{"nodeName":"kind-worker2"}}'` }
}

const whereXwingRuns = 'kubectl get pod xwing -o jsonpath={.spec.nodeName}'

describe('the demo', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const story: readonly Step[] = [
    ...firstHalf.map(elsewhere),
    { section: 'The end', title: 'Where the X-Wing runs', command: whereXwingRuns, expect: succeeds() },
  ]
  const last = { section: 'The end', title: 'A step that fails', command: 'false', expect: succeeds() }
  const printed: string[] = []
  let code: number

  before(
    async () => {
      if (!cannotRun)
        code = await runDemo((line) => printed.push(stripVTControlCharacters(line)), [...story, last])
    },
    { timeout: hangTimeoutMs },
  )

  test('the demo walks the story’s first half, names a step that fails, and deletes its lab', () => {
    const failures = printed.filter((line) => line.startsWith('✗'))
    assert.deepEqual(failures, ['✗ exit code 1', '✗ A step that fails'], printed.join('\n'))
    assert.equal(code, 1)
    assert.match(printed.join('\n'), new RegExp(`${story.length} of ${story.length + 1} steps gave the expected answer, in \\d+ s`))
    assert.ok(printed.includes('  node kind-worker4 …') && printed.includes('\nThe cluster'))
    assert.equal(printed.at(-1), 'Nothing is left behind.')
    assert.deepEqual(labsOf(process.pid), [])
  }) // biome-ignore format: one a line

  test('every command gives the same answer with the X-Wing on the other worker', () => {
    assert.equal(printed.filter((line) => line.includes('as expected')).length, story.length)
    assert.equal(printed[printed.indexOf(`$ ${whereXwingRuns}`) + 1], 'kind-worker2')
  })

  test('Ctrl-C during the start deletes the whole lab', async () => {
    const demo = spawn(join(repository, 'bin/sallyport'), ['lab', 'demo'], { stdio: ['ignore', 'pipe', 'inherit'] })
    let printed = ''
    demo.stdout.on('data', (chunk) => {
      printed += chunk
      if (String(chunk).includes('node kind-worker …')) demo.kill('SIGINT')
    })
    const [code] = await once(demo, 'close')
    assert.equal(code, 1)
    assert.match(printed, /\nInterrupted\.\nNothing is left behind\.\n$/)
    assert.deepEqual(labsOf(demo.pid), [])
  }) // biome-ignore format: one a line
})
