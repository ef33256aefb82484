import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { installBinary, removeBinary } from './cni-binary.ts'

const folder = mkdtempSync(join(tmpdir(), 'sallyport-cni-'))
after(() => rmSync(folder, { recursive: true }))
const repository = new URL('../..', import.meta.url).pathname

function callPlugin(from = folder): unknown {
  const { status, stdout, stderr } = spawnSync(join(from, 'sallyport-cni'), {
    env: { CNI_COMMAND: 'VERSION', PATH: '/usr/bin:/bin' },
    input: '{"cniVersion":"1.0.0"}',
    encoding: 'utf8',
  })
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout)
}

test('the plugin runs with the agent’s Node.js, without types that it would have to take away first', () => {
  installBinary(folder, false)
  assert.doesNotMatch(readFileSync(join(folder, '.sallyport/main.mjs'), 'utf8'), /: string/)
  assert.deepEqual((callPlugin() as { supportedVersions: string[] }).supportedVersions.at(-1), '1.1.0')
})

test('out of an image it brings along all that it needs, once a version', () => {
  installBinary(folder, true)
  assert.ok(!readFileSync(join(folder, 'sallyport-cni'), 'utf8').includes(repository))
  assert.deepEqual((callPlugin() as { supportedVersions: string[] }).supportedVersions.at(-1), '1.1.0')
  const node = join(folder, '.sallyport/node')
  const { ino } = statSync(node)
  installBinary(folder, true)
  assert.equal(statSync(node).ino, ino)
})

test('out of an image it runs from wherever the node has the folder', () => {
  installBinary(folder, true)
  const elsewhere = `${folder}-elsewhere`
  renameSync(folder, elsewhere)
  const answer = callPlugin(elsewhere)
  renameSync(elsewhere, folder)
  assert.ok((answer as { supportedVersions: string[] }).supportedVersions.length > 0)
})

test('it goes with all that it brought', () => {
  assert.equal(removeBinary(folder), true)
  assert.equal(removeBinary(folder), false)
  assert.throws(() => statSync(join(folder, '.sallyport')), /ENOENT/)
})
