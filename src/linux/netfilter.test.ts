import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../test/support/private-namespaces.ts'
import { listChains } from './netfilter.ts'

const skip = privateNamespacesRefused || (spawnSync('nft', ['--version']).error ? 'nft is not here' : false)

test('chains of nftables are listed with their tables, of every family', { skip }, () => {
  enterPrivateNamespaces()
  assert.deepEqual(listChains(), [])
  const rules = `table ip nat { chain postrouting { type nat hook postrouting priority srcnat; }; chain plain { }; }
table inet policies { chain forward { type filter hook forward priority filter; policy drop; }; }`
  execFileSync('nft', ['-f', '-'], { input: rules })
  assert.deepEqual(listChains(), [
    { table: 'nat', name: 'postrouting' },
    { table: 'nat', name: 'plain' },
    { table: 'policies', name: 'forward' },
  ])
})
