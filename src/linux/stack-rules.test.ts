import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { enterPrivateNamespaces, privateNamespacesRefused } from '../../test/support/private-namespaces.ts'
import { listStackRules } from './stack-rules.ts'

const skip = privateNamespacesRefused || (spawnSync('nft', ['--version']).error ? 'nft is not here' : false)

test('rules that forwarded packets meet are found: nftables, IPsec policies, routing rules', { skip }, () => {
  enterPrivateNamespaces()
  assert.deepEqual(listStackRules(), {
    chains: [],
    legacyTables: [],
    ipsec: [],
    routingRules: 0,
    routingSources: [],
  })
  const input = `table ip filter {
  chain KUBE-FORWARD { }
  chain FORWARD { type filter hook forward priority filter; jump KUBE-FORWARD; }
  chain INPUT { type filter hook input priority filter; policy drop; }
}
table inet site {
  chain forward { type filter hook forward priority 0; policy drop; ip saddr 172.18.0.42 drop; tcp dport 25 drop; }
  chain out { type nat hook postrouting priority 100; oifname "eth1" masquerade; }
}
table ip kube-proxy { chain postrouting { type nat hook postrouting priority 100; masquerade; }; }
table netdev link { chain out { type filter hook egress device lo priority 0; tcp dport 25 drop; }; }
`
  execFileSync('nft', ['-f', '-'], { input })
  const legacy = spawnSync('iptables-legacy', ['-A', 'FORWARD', '-p', 'tcp', '--dport', '25', '-j', 'DROP'])
  spawnSync('iptables-legacy', ['-t', 'mangle', '-S'])
  spawnSync('ip6tables-legacy', ['-t', 'mangle', '-A', 'FORWARD', '-j', 'ACCEPT'])
  const ip = (text: string): void => void execFileSync('ip', text.split(' '))
  ip('xfrm policy add src 10.0.0.0/8 dst 192.0.2.0/24 dir out action block')
  ip('xfrm policy add src 2001:db8::/64 dst 2001:db8:1::/48 dir out action block')
  ip('xfrm policy add src 192.0.2.0/24 dst 10.0.0.0/8 dir fwd action block')
  ip('rule add fwmark 7 lookup 100')
  ip('rule add ipproto tcp dport 25 lookup 100')
  ip('rule add from 192.0.2.0/24 lookup 100')
  ip('-6 rule add from 2001:db8::42 lookup 100')
  const { chains, legacyTables, ipsec, routingRules, routingSources } = listStackRules()
  assert.deepEqual(chains, [
    { table: 'site', name: 'forward', hook: 'forward', drops: true, rules: 2 },
    { table: 'site', name: 'out', hook: 'postrouting', drops: false, rules: 1 },
    { table: 'link', name: 'out', hook: 'egress', drops: false, rules: 1 },
  ])
  if (legacy.status === 0)
    assert.deepEqual(legacyTables, ['filter', 'mangle (IPv6)'], 'a table without rules is left out')
  assert.deepEqual(ipsec.toSorted(), ['192.0.2.0/24', '2001:db8:1::/48'])
  assert.equal(routingRules, 2, 'the rules by a source apply without the stack, too')
  assert.deepEqual(routingSources, ['192.0.2.0/24', '2001:db8::42/128'])
})
