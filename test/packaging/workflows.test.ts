import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { parse } from 'yaml'

/* No workflow can run here. What can be said without: it calls what exists, and trusts nobody else's code. */

const repository = join(import.meta.dirname, '../..')
const folder = join(repository, '.github/workflows')
const targets = new Set(
  [...readFileSync(join(repository, 'Makefile'), 'utf8').matchAll(/^([\w-]+):/gm)].map(([, name]) => name),
)

interface Step {
  readonly name: string
  readonly run?: string
  readonly uses?: string
}

interface Job {
  readonly needs?: string
  readonly steps: readonly Step[]
  readonly 'timeout-minutes'?: number
}

interface Workflow {
  readonly permissions: unknown
  readonly jobs: Readonly<Record<string, Job>>
}

/** What the text calls that this repository should have. */
function callsOf(text: string): { readonly makes: readonly string[]; readonly programs: readonly string[] } {
  const all = (pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, word = '']) => word)
  return {
    makes: all(/(?:^|[;&|(]\s*|\bsudo )make ([\w-]+)/gm),
    programs: all(/(?:^|[\s;&|($])((?:\.\/|bin\/)[\w/-]+)/gm),
  }
}

for (const file of readdirSync(folder))
  describe(`the workflow ${file}`, () => {
    const text = readFileSync(join(folder, file), 'utf8')
    const { jobs, permissions } = parse(text) as Workflow
    const steps = Object.values(jobs).flatMap((job) => job.steps)
    const calls = steps.map(({ run = '' }) => callsOf(run))

    test('calls only make targets that exist', () => {
      const makes = calls.flatMap(({ makes }) => makes)
      assert.ok(makes.length > 0)
      assert.deepEqual(
        makes.filter((target) => !targets.has(target)),
        [],
      )
    })

    test('calls only programs of this repository that exist and can be run', () => {
      const programs = calls.flatMap(({ programs }) => programs)
      assert.ok(programs.length > 0)
      for (const program of programs) accessSync(join(repository, program), constants.X_OK)
      if (/docker build /.test(text)) assert.ok(existsSync(join(repository, 'Dockerfile')))
    })

    test('runs shell steps only, and no action of others', () => {
      assert.deepEqual(
        steps.filter(({ uses }) => uses !== undefined),
        [],
        'an action may change under its tag: write a shell step',
      )
    })

    test('has no host name: registries are variables', () => {
      assert.deepEqual(text.match(/\b[\w-]+\.(io|com|org|net|dev)\b/g) ?? [], [])
    })

    test('waits for jobs that exist, and may read the repository and no more by default', () => {
      for (const { needs } of Object.values(jobs)) assert.ok(needs === undefined || needs in jobs, needs)
      assert.deepEqual(permissions, { contents: 'read' })
    })

    test('has steps that bash can read', () => {
      for (const { name, run } of steps) assert.ok(name && run && isShell(run), name)
    })
  })

function isShell(text: string): boolean {
  // An expression stands for a word that the workflow puts there.
  const { status } = spawnSync('bash', ['-n'], { input: text.replace(/\$\{\{.*?\}\}/g, 'word') })
  return status === 0
}

test('the check of workflows finds calls of what does not exist', () => {
  assert.deepEqual(callsOf('sudo make dist\nmake nothing; ./setup && test 1 = "$(bin/sallyport version)"'), {
    makes: ['dist', 'nothing'],
    programs: ['./setup', 'bin/sallyport'],
  })
})
