import assert from 'node:assert/strict'
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
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
