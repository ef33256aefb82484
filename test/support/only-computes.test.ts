import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { onlyComputes } from './only-computes.ts'

describe('a test file', () => {
  const compute = "import { test } from 'node:test'\ntest('one and one are two', () => {})\n"
  test('shares a process with others if it only computes', () => assert.equal(onlyComputes(compute), true))

  for (const [what, line] of [
    ['a hook of the whole file', 'after(() => rmSync(scratch))'],
    ['an environment variable', "process.env.KUBECONFIG = '/nowhere'"],
    ['a mocked clock', "mock.timers.enable({ apis: ['Date'] })"],
    ['a child', "import { spawnSync } from 'node:child_process'"],
    ['a server', 'server.listen(0)'],
    ['namespaces', "import { enterPrivateNamespaces } from '../support/private-namespaces.ts'"],
    ['a measured time', 'const startedMs = performance.now()'],
  ] as const)
    test(`has a process of its own if it has ${what}`, () =>
      assert.equal(onlyComputes(`${compute}${line}\n`), false))
})
