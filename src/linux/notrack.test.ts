import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../test/support/private-namespaces.ts'
import { ensureNotTracked, removeNotTracked } from './notrack.ts'

const skip = privateNamespacesRefused || (spawnSync('nft', ['--version']).error ? 'nft is not here' : false)

test('a chain keeps connection tracking away from a device, once, and is removed', { skip }, () => {
  enterPrivateNamespaces()
  for (const _time of [1, 2]) assert.ok(ensureNotTracked('forward0'))
  const rules = execFileSync('nft', ['list', 'ruleset'], { encoding: 'utf8' })
  assert.match(
    rules,
    /table inet sallyport {\s+chain notrack {\s+type filter hook prerouting priority raw; policy accept;\s+iifname "forward0" notrack\s+}/,
  )
  assert.equal(rules.match(/notrack$/gm)?.length, 1)
  assert.equal(removeNotTracked(), true)
  assert.equal(removeNotTracked(), false)
  assert.equal(execFileSync('nft', ['list', 'ruleset'], { encoding: 'utf8' }), '')
})
