import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { Datapath } from '../datapath/datapath.ts'
import type { Tables } from '../decide/tables.ts'

/** Between two looks at the event loop's delay. The library's 10 ms would be half of what an agent at rest does. */
const loopDelayEveryMs = 1_000

/** What the datapath counts, read when somebody asks. `policies` are those that are known now. */
export function createMetrics(datapath: Datapath, policies: () => Tables['policies'] | undefined): Registry {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({
    register: registry,
    prefix: 'sallyport_agent_',
    eventLoopMonitoringPrecision: loopDelayEveryMs,
  })
  new Gauge({
    name: 'sallyport_packets_total',
    help: 'Packets by the program and the verdict that their journey ended with.',
    labelNames: ['program', 'verdict'],
    registers,
    collect() {
      for (const { program, verdict, packets } of datapath.counts())
        this.set({ program: program.toLowerCase(), verdict }, Number(packets))
    },
  })
  new Gauge({
    name: 'sallyport_refused_flows_total',
    help: 'Packets of new flows that found no way out, by policy, egress IP and verdict; without an egress IP where none was chosen.',
    labelNames: ['policy', 'egress_ip', 'verdict'],
    registers,
    collect() {
      this.reset()
      const known = policies()
      for (const [{ policy: id, egress_ip, verdict }, count] of datapath.tables.policy_drops.entries()) {
        const policy = known?.get(id)
        if (policy === undefined) continue /* none had a say, or it is gone */
        const address = egress_ip === '::' ? '' : egress_ip
        this.set({ policy: `${policy.kind}/${policy.name}`, egress_ip: address, verdict }, Number(count))
      }
    },
  })
  return registry
}
