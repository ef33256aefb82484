import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { dualStack, ipv6Of, walkthroughNodes } from '../../src/lab/layout.ts'
import { policyFiles } from '../../src/lab/programs/policy-files.ts'
import { cannotRun, eventually, hangTimeoutMs, labFor, seenByOutpost, type } from './lab-under-test.ts'

const outpost = `http://[${ipv6Of(7)}]:8000`
const egress = { 'kind-worker3': ipv6Of(0x42), 'kind-worker4': ipv6Of(0x43) } as const
const streamFile = '/run/stream6.txt'

/** The walkthrough's policies, for another family. */
const forIPv6 = (file: string): string => (policyFiles[file] ?? '').replace('172.18.0.0/16', 'fc00::/7')
const policy = forIPv6('egress-gw-policy-ha.yaml')
const oneAddress = forIPv6('egress-gw-policy.yaml').replace(
  'interface: net0',
  `egressIP: ${egress['kind-worker3']}`,
)

/** IPv6 from end to end: pods that have both families, and egress IPs of both. */
describe('IPv6', { skip: cannotRun, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-dual-stack', {
    nodes: dualStack(walkthroughNodes),
    story: { until: 'the outpost' },
  })
  const run = (command: string): Promise<string> => type(lab.state(), command)
  const answers = (pod: string, count = 1): Promise<string> =>
    run(
      `kubectl exec ${pod} -- sh -c 'for i in $(seq ${count}); do curl -s --max-time 2 ${outpost}; echo " exit $?"; done'`,
    )
  const linesOfStream = async (): Promise<readonly string[]> =>
    (await run(`kubectl exec xwing -- cat ${streamFile}`)).split('\n')

  test('pods have an address of each family and reach each other through both', async () => {
    const addresses = await run('kubectl get pods -o jsonpath={.items[*].status.podIPs[*].ip}')
    assert.match(addresses, /fd00:10:244:2::/)
    const [ipv4 = '', ipv6 = ''] = (
      await run('kubectl get pod tiefighter -o jsonpath={.status.podIPs[*].ip}')
    ).split(' ')
    assert.match(ipv6, /^fd00:10:244:/)
    const server = `require("node:http").createServer((request, response) => response.end(request.socket.remoteAddress)).listen(8000, "::")`
    await run(
      `kubectl exec tiefighter -- sh -c '${process.execPath} -e '"'"'${server}'"'"' >/dev/null 2>&1 </dev/null &'`,
    )
    for (const [host, own] of [
      [ipv4, /^::ffff:10\.244\.2\./],
      [`[${ipv6}]`, /^fd00:10:244:2::/],
    ] as const)
      await eventually(`the other pod answers at ${host} with who has called`, async () =>
        own.test(await run(`kubectl exec xwing -- sh -c 'curl -s --max-time 2 http://${host}:8000 || true'`)),
      )
  })

  test('a pod without a policy leaves with its node’s IPv6 address', async () => {
    assert.match(await answers('xwing'), new RegExp(`\\(${ipv6Of(2)}\\)`))
  })

  test('an IPv6 policy whose gateways have no IPv6 address drops traffic and says so', async () => {
    await run(`kubectl apply -f - <<'END'\n${policy}\nEND`)
    await eventually('the policy says what is missing', async () =>
      /NoIPv6EgressIP/.test(
        await run('kubectl get iegp outpost-ha -o jsonpath={.status.conditions[*].reason}'),
      ),
    )
    await eventually('its node drops the traffic', async () => /exit 28/.test(await answers('xwing')))
    assert.match(await answers('tiefighter'), new RegExp(`\\(${ipv6Of(5)}\\)`))
  })

  test('new connections use both IPv6 egress IPs and no other address', async () => {
    for (const [node, address] of Object.entries(egress))
      await run(`docker exec ${node} ip -6 address add ${address}/64 dev net0 nodad`)
    await run('kubectl wait --for=condition=Ready iegp/outpost-ha --timeout=20s')
    await eventually('the first connection is there', async () => /exit 0/.test(await answers('xwing')))
    const before = await seenByOutpost(lab.state())
    await answers('xwing', 100)
    const after = await seenByOutpost(lab.state())
    const grown = Object.keys(after).filter((address) => (after[address] ?? 0) > (before[address] ?? 0))
    assert.deepEqual(grown.sort(), Object.values(egress).sort())
    const count = grown.reduce((sum, address) => sum + (after[address] ?? 0) - (before[address] ?? 0), 0)
    assert.equal(count, 100)
  })

  test('a live connection survives its gateway', async () => {
    await run(`kubectl exec xwing -- sh -c 'curl -sN ${outpost}/stream >${streamFile} 2>&1 </dev/null &'`)
    await eventually('the stream flows', async () => (await linesOfStream()).length > 10)
    const [, source] = /^\d+ (\S+)/.exec((await linesOfStream())[0] ?? '') ?? []
    const gateway = Object.entries(egress).find(([, address]) => address === source)?.[0]
    assert.ok(gateway, `${source} is no egress IP`)
    await run(`docker pause ${gateway}`)
    try {
      const before = (await linesOfStream()).length
      await eventually('it goes on', async () => (await linesOfStream()).length > before + 100)
      assert.doesNotMatch(await answers('xwing', 20), /exit [1-9]/)
    } finally {
      await run(`docker unpause ${gateway}`)
    }
    const sources = new Set((await linesOfStream()).map((line) => line.split(' ')[1]))
    assert.deepEqual([...sources], [source])
  })

  test('an egress IP alone chooses the gateway that has it', async () => {
    await run('kubectl delete iegp outpost-ha')
    await run(`kubectl apply -f - <<'END'\n${oneAddress}\nEND`)
    const isFrom = new RegExp(`\\(${egress['kind-worker3']}\\)`)
    await eventually('the policy is in force', async () => isFrom.test(await answers('xwing')))
    const lines = (await answers('xwing', 10)).split('\n').filter((line) => line.includes('source IP'))
    assert.equal(lines.length, 10)
    for (const line of lines) assert.match(line, isFrom)
  })

  test('a large upload passes the tunnel', async () => {
    const big = await run(
      `kubectl exec xwing -- sh -c 'head -c 200000 /dev/zero | curl -s -o /dev/null -w "%{http_code}" --max-time 5 --data-binary @- ${outpost}'`,
    )
    assert.equal(big, '200')
  })
})
