import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { cannotRun, curlOutpost, eventually, hangTimeoutMs, labFor, type } from './lab-under-test.ts'
import { someNodes } from './story.ts'

const gateway = 'kind-worker3'
const egressIp = '172.18.0.42'

describe('a gateway whose stack forwards egress traffic', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-forwarding', {
    nodes: someNodes('kind-worker', gateway),
    story: { until: 'the policy', settings: ['egressGateway.gatewayForwarding=stack'] },
  })
  const run = (command: string): Promise<string> => type(lab.state(), command)
  const call = (): Promise<string> => run(`kubectl exec xwing -- ${curlOutpost} || true`)
  const rules = (chains: string): Promise<string> =>
    run(
      `docker exec ${gateway} nft -f - <<'END'\ntable ip site\ndelete table ip site\ntable ip site {\n${chains}\n}\nEND`,
    )
  const packets = async (): Promise<number> =>
    Number(/packets (\d+)/.exec(await run(`docker exec ${gateway} nft list table ip site`))?.[1])

  test('the last rules of the gateway see the egress IP of another node’s pod, and none translates it again', async () => {
    await rules(`chain out { type filter hook postrouting priority 0;
ip saddr ${egressIp} tcp dport 8000 counter
}
chain nat { type nat hook postrouting priority 100;
oifname != "sallyport" masquerade
}
chain forward { type filter hook forward priority 0;
ct state invalid drop
}`)
    assert.match(await call(), new RegExp(egressIp))
    assert.ok((await packets()) > 0)
  })

  test('a rule that drops by the egress IP is honoured, and the policy’s traffic returns without it', async () => {
    await rules(`chain forward { type filter hook forward priority 0;
ip saddr ${egressIp} counter drop
}`)
    assert.match(await call(), /exit code 28/, 'curl waits in vain')
    assert.ok((await packets()) > 0)
    const isNotReady = 'kubectl wait --for=condition=Ready=false cegp/outpost --timeout=1s 2>&1 || true'
    await eventually('the policy says so', async () => {
      await call()
      return /condition met/.test(await run(isNotReady))
    })
    assert.match(
      await run('kubectl get cegp outpost -o wide'),
      /False .*ForwardingStopped/,
      'the list has the reason',
    )
    await run(`docker exec ${gateway} nft delete table ip site`)
    assert.match(await call(), new RegExp(egressIp))
  })

  test('the EgressNode names a chain that drops by default', async () => {
    await rules('chain forward { type filter hook forward priority 0; policy drop; }')
    await eventually('the condition names the chain', async () => {
      const message = await run(
        `kubectl get egressnode ${gateway} -o jsonpath='{.status.conditions[?(@.type=="ForwardingRestricted")].message}'`,
      )
      return message.includes('nftables chain forward of table site drops')
    })
  })
})
