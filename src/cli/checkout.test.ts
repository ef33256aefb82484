import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { version } from '../api/version.ts'
import { configMapData } from '../install/configuration.ts'
import { defaultNames } from '../install/manifest.ts'
import { renderInstall } from '../install/manifests.ts'
import { refuseIncompleteBuild } from './checkout.ts'

const repository = join(import.meta.dirname, '../..')
let root = ''

/** A fresh clone, before ./setup has run. `tools` holds the programs of its machine. */
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'sallyport-clone-'))
  for (const path of ['bin', 'src', 'setup', 'Makefile', 'package.json'])
    cpSync(join(repository, path), join(root, path), { recursive: true })
  mkdirSync(join(root, 'tools'))
  for (const tool of ['sh', 'dirname', 'readlink', 'env'])
    symlinkSync(
      [`/usr/bin/${tool}`, `/bin/${tool}`].find((path) => existsSync(path)) ?? '',
      join(root, 'tools', tool),
    )
})
afterEach(() => rmSync(root, { recursive: true }))

function run(program: string, ...words: string[]): string {
  const { status, stdout, stderr } = spawnSync(join(root, 'bin', program), words, {
    encoding: 'utf8',
    env: { PATH: join(root, 'tools'), KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: '1' },
  })
  return `${status} ${stdout}${stderr}`
}

function putNode(script: string): void {
  const path = join(root, 'tools/node')
  writeFileSync(path, `#!/bin/sh\n${script}\n`)
  chmodSync(path, 0o755)
}

for (const program of ['sallyport', 'sallyport-agent', 'sallyport-operator'])
  describe(`${program} from a fresh clone says what to do`, () => {
    test('on a machine without Node.js', () => {
      assert.equal(
        run(program, '--help'),
        `1 ${program}: Node.js 24 or later is missing: run ${root}/setup\n`,
      )
    })

    test('on a machine with an old Node.js', () => {
      putNode('echo v20.11.1')
      assert.equal(
        run(program, '--help'),
        `1 ${program}: Node.js v20.11.1 is too old, and 24 or later is needed: run ${root}/setup\n`,
      )
    })

    test('on a machine with a current Node.js but without npm packages', () => {
      putNode('echo v24.1.0')
      const answer = run(program, '--help')
      assert.match(answer, /^1 \S+: npm packages are missing \(no node_modules\/\w+\): run \S+\/setup\n$/)
    })
  })

describe('a checkout with npm packages and without the compiled datapath', () => {
  beforeEach(() => symlinkSync(join(repository, 'node_modules'), join(root, 'node_modules')))

  test('runs commands that do not need the datapath', () => {
    assert.equal(run('sallyport', 'version'), `0 sallyport ${version}\n`)
  })

  test('refuses to install agents that could not start', () => {
    assert.match(run('sallyport', 'install'), /^1 sallyport: \S+ is not built: .* Run \S+\/setup, or use/)
    const manifests = renderInstall(
      configMapData({ 'image-repository': 'registry.test/sallyport' }),
      defaultNames,
    )
    refuseIncompleteBuild(manifests, root)
  })

  test('has agents that report the missing datapath', () => {
    const answer = run('sallyport-agent', '--node-name', 'n1', '--config-directory', '/nonexistent')
    assert.match(answer, /the compiled datapath \S+sallyport\.bpf\.o does not exist: run make build/)
  })
})
