import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { Datapath } from '../datapath/datapath.ts'
import { parseConfiguration } from '../install/configuration.ts'
import type { KubeClient } from '../kube/client.ts'
import { linuxMachine } from '../linux/machine.ts'
import type { Netlink } from '../linux/netlink.ts'
import { systemClock } from '../runtime/clock.ts'
import { createLog } from '../runtime/log.ts'
import { Agent } from './agent.ts'

const directory = mkdtempSync(join(tmpdir(), 'sallyport-agent-'))
after(() => rmSync(directory, { recursive: true }))

/** An agent on a node whose kernel and API server have never been asked anything. */
function newAgent(): Agent {
  const parsed = parseConfiguration({})
  assert.ok(parsed.ok)
  const nothing = { get: () => undefined, count: () => 0, entries: () => [] }
  const datapath = {
    tables: new Proxy({}, { get: () => nothing }),
    counts: () => [],
    present: () => [],
  } as unknown as Datapath
  const client = {
    resource: () => ({ list: async () => ({ metadata: {}, items: [] }), name: { plural: 'things' } }),
  } as unknown as KubeClient
  return new Agent({
    self: 'worker',
    client,
    datapath,
    netlink: {} as Netlink,
    machine: linuxMachine,
    startProber: () => ({ send: () => {}, stop: async () => {} }),
    networkChanges: async function* () {},
    configuration: parsed.value,
    sharesAddress: false,
    configMap: {},
    stateDirectory: directory,
    logDirectory: `${directory}/log`,
    resultCache: directory,
    clock: systemClock,
    random: () => 0,
    log: createLog('test', 'silent'),
    onReady: () => {},
    pluginProblems: () => [],
    checkNode: () => [],
  })
}

test('a query before the agent has listed anything changes nothing of what it knows of ports', async () => {
  const agent = newAgent()
  const before = agent.snapshot
  await assert.rejects(agent.api.compatibleRows(), /the agent has not written its tables yet/)
  assert.deepEqual(agent.api.egress(), [])
  assert.ok(agent.api.problems().length > 0)
  assert.equal(agent.snapshot.ports, before.ports)
  assert.equal(agent.snapshot.failover, before.failover)
  assert.equal(agent.snapshot.ports.hasReadStatus, false)
})
