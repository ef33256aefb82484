import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { installBinary, removeBinary } from './cni-binary.ts'

const folder = mkdtempSync(join(tmpdir(), 'sallyport-cni-'))
after(() => rmSync(folder, { recursive: true }))
const agentSocket = '/run/sallyport/agent.sock'
const repository = new URL('../../..', import.meta.url).pathname

function callPlugin(from = folder): unknown {
  const { status, stdout, stderr } = spawnSync(join(from, 'sallyport-cni'), {
    env: { CNI_COMMAND: 'VERSION', PATH: '/usr/bin:/bin' },
    input: '{"cniVersion":"1.0.0"}',
    encoding: 'utf8',
  })
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout)
}

test('the plugin runs with the agent’s Node.js, and its types are already stripped', () => {
  installBinary(folder, { isInImage: false, agentSocket })
  assert.doesNotMatch(readFileSync(join(folder, '.sallyport/main.mjs'), 'utf8'), /: string/)
  assert.deepEqual((callPlugin() as { supportedVersions: string[] }).supportedVersions.at(-1), '1.1.0')
})

test('an agent in an image copies all that the plugin needs, once for each version', () => {
  installBinary(folder, { isInImage: true, agentSocket })
  assert.ok(!readFileSync(join(folder, 'sallyport-cni'), 'utf8').includes(repository))
  assert.deepEqual((callPlugin() as { supportedVersions: string[] }).supportedVersions.at(-1), '1.1.0')
  const node = join(folder, '.sallyport/node')
  const { ino } = statSync(node)
  installBinary(folder, { isInImage: true, agentSocket })
  assert.equal(statSync(node).ino, ino)
})

test('a plugin from an image runs wherever the node mounts the folder', () => {
  installBinary(folder, { isInImage: true, agentSocket })
  const elsewhere = `${folder}-elsewhere`
  renameSync(folder, elsewhere)
  const answer = callPlugin(elsewhere)
  renameSync(elsewhere, folder)
  assert.ok((answer as { supportedVersions: string[] }).supportedVersions.length > 0)
})

test('a node without a loopback plugin gets one, and it is removed with the plugin', (context) => {
  const own = mkdtempSync(join(tmpdir(), 'sallyport-cni-'))
  context.after(() => rmSync(own, { recursive: true }))
  installBinary(own, { isInImage: false, agentSocket: '/run/first.sock' })
  installBinary(own, { isInImage: false, agentSocket })
  const script = readFileSync(join(own, 'loopback'), 'utf8')
  assert.match(script, / loopback '\/run\/sallyport\/agent\.sock'$/m)
  assert.equal(statSync(join(own, 'loopback')).mode & 0o777, 0o755)
  removeBinary(own)
  assert.equal(existsSync(join(own, 'loopback')), false)
})

test('a loopback plugin of another product is neither replaced nor removed', (context) => {
  const own = mkdtempSync(join(tmpdir(), 'sallyport-cni-'))
  context.after(() => rmSync(own, { recursive: true }))
  const path = join(own, 'loopback')
  writeFileSync(path, '#!/bin/sh\nexit 0\n')
  installBinary(own, { isInImage: false, agentSocket })
  removeBinary(own)
  assert.equal(readFileSync(path, 'utf8'), '#!/bin/sh\nexit 0\n')
  rmSync(path)
  symlinkSync('/nowhere/loopback', path)
  installBinary(own, { isInImage: false, agentSocket })
  removeBinary(own)
  assert.throws(() => readFileSync(path), /ENOENT/)
  rmSync(path)
})

test('removing the plugin removes all files that were installed with it', () => {
  assert.equal(removeBinary(folder), true)
  assert.equal(removeBinary(folder), false)
  assert.throws(() => statSync(join(folder, '.sallyport')), /ENOENT/)
})
