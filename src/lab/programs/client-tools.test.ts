import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { repository } from '../layout.ts'
import { clientToolsFolder, type ToolAge } from './client-tools.ts'

const lines = readFileSync(join(repository, 'client-tools.lock'), 'utf8')
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line) => line.split(' '))

for (const [age = '', name = '', version = '', checksum = '', contents = ''] of lines) {
  const folder = clientToolsFolder(age as ToolAge)
  test(`the ${age} kubectl and Helm have the versions in client-tools.lock`, {
    skip: !existsSync(folder) && 'kubectl and Helm are missing: run ./setup on x86-64',
  }, () => {
    const ask = (tool: string, ...words: string[]): string =>
      execFileSync(join(folder, tool), words, { encoding: 'utf8' })
    const kubectl = JSON.parse(ask('kubectl', 'version', '--client', '-o', 'json')) as {
      clientVersion: { gitVersion: string }
    }
    const helm = ask('helm', 'version', '--template', '{{ .Version }}')
    assert.equal(contents, `kubectl-${kubectl.clientVersion.gitVersion.slice(1)},helm-${helm.slice(1)}`)
  })

  test(`the package with the ${age} kubectl is pinned and not a dependency of Sallyport`, () => {
    assert.match(version, /^\d+\.\d+\.\d+$/)
    assert.match(checksum, /^sha512-[\w+/]{86}==$/)
    assert.doesNotMatch(readFileSync(join(repository, 'package.json'), 'utf8'), new RegExp(name))
  })
}
