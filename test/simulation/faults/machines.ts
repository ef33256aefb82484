import { gatewayLabel } from '../scenario.ts'
import { type FaultContext, type MakeFault, seconds } from './fault.ts'

const pickName = ({ cluster, random }: FaultContext): string => random.pick(cluster.machines).name

export const powerCut: MakeFault = (context) => {
  const { cluster, random, scenario } = context
  const name = pickName(context)
  const forMs = random.within(2_000, 40_000)
  return {
    name: `${name} loses its power for ${seconds(forMs)}`,
    subject: `agent ${name}`,
    forMs,
    begin: () => cluster.switchOff(name),
    end: async () => {
      await cluster.switchOn(name)
      for (const pod of scenario.pods)
        if (pod.machine === name) await cluster.addPod({ name: pod.name, labels: { app: pod.app } }, name)
    },
  }
}

/** A virtual machine whose host has something better to do. */
export const standingStill: MakeFault = (context) => {
  const { cluster, random } = context
  const machine = random.pick(cluster.machines)
  const forMs = random.within(100, 10_000)
  return {
    name: `${machine.name} stands still for ${seconds(forMs)}`,
    subject: `agent ${machine.name}`,
    forMs,
    begin: () => {
      machine.isStandingStill = true
      cluster.disturb(machine.name)
      cluster.member(machine.name).run?.process.freeze()
    },
    end: () => {
      machine.isStandingStill = false
      cluster.calm(machine.name)
      cluster.member(machine.name).run?.process.thaw()
    },
  }
}

/** Its agent goes on: it may not know yet. */
export const unregisteredNode: MakeFault = (context) => {
  const { cluster, random } = context
  const name = pickName(context)
  const forMs = random.within(1_000, 40_000)
  return {
    name: `Node ${cluster.member(name).nodeName} is deleted, and registered again after ${seconds(forMs)}`,
    subject: `node ${name}`,
    forMs,
    begin: async () => {
      cluster.disturb('*')
      await cluster.api.ask('DELETE', `/api/v1/nodes/${cluster.member(name).nodeName}`).catch(() => {})
    },
    end: async () => {
      await cluster.register(name)
      cluster.calm('*')
    },
  }
}

const withoutInternalIp = [
  { what: 'has no address', addresses: [] },
  { what: 'has a Hostname only', addresses: [{ type: 'Hostname', address: 'somewhere' }] },
  { what: 'has an ExternalIP only', addresses: [{ type: 'ExternalIP', address: '198.51.100.99' }] },
  {
    what: 'has an InternalIP that no machine has',
    addresses: [{ type: 'InternalIP', address: '172.18.0.99' }],
  },
] as const

export const addresslessNode: MakeFault = (context) => {
  const { cluster, random } = context
  const name = pickName(context)
  const { what, addresses } = random.pick(withoutInternalIp)
  const forMs = random.within(1_000, 40_000)
  return {
    name: `Node ${cluster.member(name).nodeName} ${what}, for ${seconds(forMs)}`,
    subject: `node ${name}`,
    forMs,
    begin: async () => {
      cluster.disturb('*')
      await cluster.setNodeStatus(name, addresses)
    },
    end: async () => {
      await cluster.setNodeStatus(name, [{ type: 'InternalIP', address: cluster.member(name).spec.address }])
      cluster.calm('*')
    },
  }
}

export const notReadyNode: MakeFault = (context) => {
  const { cluster, random } = context
  const name = pickName(context)
  const forMs = random.within(1_000, 30_000)
  const addresses = [{ type: 'InternalIP', address: cluster.member(name).spec.address }]
  return {
    name: `Node ${cluster.member(name).nodeName} is not ready for ${seconds(forMs)}`,
    subject: `node ${name}`,
    forMs,
    begin: () => cluster.setNodeStatus(name, addresses, false),
    end: () => cluster.setNodeStatus(name, addresses),
  }
}

export const relabelledGateway: MakeFault = (context) => {
  const { cluster, random } = context
  const gateways = [...cluster.members.values()].filter(({ spec }) => spec.egressAddresses.length > 0)
  const { spec } = random.pick(gateways)
  const forMs = random.within(1_000, 40_000)
  const [key] = Object.keys(gatewayLabel)
  const label = (value: string | null): Promise<unknown> =>
    cluster.patchNode(spec.name, { metadata: { labels: { [key as string]: value } } })
  return {
    name: `${spec.name} is no gateway for ${seconds(forMs)}`,
    subject: `node ${spec.name}`,
    forMs,
    begin: async () => {
      await label(null)
    },
    end: async () => {
      await label('true')
    },
  }
}

export const cordonedNode: MakeFault = (context) => {
  const { cluster, random } = context
  const name = pickName(context)
  const forMs = random.within(1_000, 30_000)
  return {
    name: `${name} is cordoned for ${seconds(forMs)}`,
    subject: `node ${name}`,
    forMs,
    begin: async () => {
      await cluster.patchNode(name, { spec: { unschedulable: true } })
    },
    end: async () => {
      await cluster.patchNode(name, { spec: { unschedulable: null } })
    },
  }
}

export const jumpingClock: MakeFault = (context) => {
  const { cluster, random } = context
  const machine = random.pick(cluster.machines)
  const byMs = random.within(-86_400, 86_400) * 1000
  return {
    name: `the time of ${machine.name} is set by ${seconds(byMs)}`,
    subject: `time ${machine.name}`,
    forMs: 1_000,
    begin: () => machine.setTimeOfDay(byMs),
    end: () => {},
  }
}
