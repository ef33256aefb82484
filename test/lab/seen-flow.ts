import assert from 'node:assert/strict'
import type { Explanation } from '../../src/agent/api/explain/explanation.ts'
import type { FlowRow } from '../../src/agent/api/flows/flow-row.ts'
import { curlOutpost } from './lab-under-test.ts'

/** What the commands say of pods of the story while a policy with both gateways is in force; from outside the cluster's pods. */
export async function seeFlow(
  run: (command: string) => Promise<string>,
  gateways: readonly string[],
): Promise<void> {
  const explain = async (pod: string): Promise<Explanation> =>
    JSON.parse(await run(`sallyport explain pod/${pod} --to 172.18.0.7:8000 -o json`)) as Explanation
  const selected = await explain('xwing')
  assert.match(selected.program.verdict, /^SENT_TO_HOLDER(_BY_LINK)?$/, JSON.stringify(selected))
  assert.equal(selected.pod.node, 'kind-worker')
  assert.deepEqual([...selected.decision.egressIps].sort(), ['172.18.0.42', '172.18.0.43'])
  assert.ok(gateways.includes(selected.wayOut?.node ?? ''), JSON.stringify(selected.wayOut))
  assert.equal(selected.wayOut?.device, 'eth0')
  assert.ok(selected.gateways.every(({ isReachable, role }) => isReachable && role === 'active'))

  const other = await explain('tiefighter')
  assert.equal(other.program.verdict, 'SENT_TO_WORLD_MASQUERADED', JSON.stringify(other))
  assert.match(
    other.policies[0]?.because[0] ?? '',
    /the pod has label org=empire, and the policy selects alliance/,
  )
  assert.ok(selected.agrees && other.agrees)

  const seen = await run(`kubectl exec xwing -- ${curlOutpost}`)
  const rows = (await run('sallyport flows --pod default/xwing --to 172.18.0.7 -o json'))
    .split('\n')
    .map((line) => JSON.parse(line) as FlowRow)
  const row = rows.find(({ egressIp }) => seen.includes(egressIp))
  assert.ok(row?.flow, `no flow of ${JSON.stringify(rows)} has the address that the outpost saw: ${seen}`)
  assert.equal(row.policy, 'outpost-ha')
  assert.match(
    await run(`sallyport who ${row.flow.egress} --to ${row.flow.destination}`),
    /^kind-worker +default\/xwing +TCP +172\.18\.0\.4[23]:\d+ +172\.18\.0\.7:8000 +outpost-ha /m,
  )
}
