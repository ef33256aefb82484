import { changePolicy, cilium, createPolicy, deletePolicy } from '../scenario.ts'
import { type MakeFault, seconds } from './fault.ts'

export const comingPod: MakeFault = ({ cluster, random }) => {
  const machine = random.pick(cluster.machines).name
  const app = random.pick(['payments', 'billing', 'batch', 'archive', 'free'])
  const name = `${app}-late-${Math.round(cluster.clock.nowMs)}`
  const forMs = random.within(5_000, 60_000)
  return {
    name: `pod ${name} lives for ${seconds(forMs)} on ${machine}`,
    subject: `pod ${name}`,
    forMs,
    begin: async () => {
      if (cluster.member(machine).machine.isOn) await cluster.addPod({ name, labels: { app } }, machine)
    },
    end: async () => {
      const pod = cluster.pods.find((each) => each.name === name)
      if (pod !== undefined) await cluster.kubelet.delete(pod)
    },
  }
}

/** So many connections to one server at once: the node's ports run out, and it asks for more. */
export const busyPod: MakeFault = ({ cluster, random }) => {
  const pods = cluster.pods.filter((pod) => pod.isRunning && pod.labels.app !== 'free')
  if (pods.length === 0) return undefined
  const pod = random.pick(pods)
  const count = random.within(60, 220)
  return {
    name: `${pod.name} opens ${count} connections to one server`,
    subject: `busy ${pod.name}`,
    forMs: 5_000,
    begin: () => {
      for (let number = 0; number < count; number++)
        cluster.clock.after(number * 3, () => {
          if (pod.isRunning) cluster.traffic.send(cluster.traffic.open(pod, false, true))
        })
    },
    end: () => {},
  }
}

export const editedPolicy: MakeFault = ({ cluster, scenario, random }) => {
  const policy = random.pick(scenario.policies)
  const forMs = random.within(1_000, 30_000)
  const isPool = policy.name === 'pool'
  const changes = [
    { destinationCIDRs: ['0.0.0.0/0'] },
    { excludedCIDRs: ['198.51.100.0/24'] },
    { selectors: [{ podSelector: { matchLabels: { app: 'free' } } }] },
    ...(isPool ? [{ egressCIDRs: ['172.18.0.104/30'] }] : []),
  ]
  const change = random.pick(changes)
  const before = Object.fromEntries(
    Object.keys(change).map((key) => [key, (policy.spec as Record<string, unknown>)[key] ?? null]),
  )
  return {
    name: `policy ${policy.name} is changed for ${seconds(forMs)}`,
    subject: `policy ${policy.name}`,
    forMs,
    begin: () => changePolicy(cluster, policy, { spec: change }),
    end: () => changePolicy(cluster, policy, { spec: before }),
  }
}

export const deletedPolicy: MakeFault = ({ cluster, scenario, random }) => {
  const policy = random.pick(scenario.policies)
  const forMs = random.within(500, 30_000)
  return {
    name: `policy ${policy.name} is deleted, and created again after ${seconds(forMs)}`,
    subject: `policy ${policy.name}`,
    forMs,
    begin: () => deletePolicy(cluster, policy),
    end: () => createPolicy(cluster, policy),
  }
}

/** One that nobody had before, and that is gone in the end. */
export const passingPolicy: MakeFault = ({ cluster, random }) => {
  const name = `passing-${Math.round(cluster.clock.nowMs)}`
  const policy = cilium(random.pick(['free', 'payments', 'billing']), name)
  const forMs = random.within(1_000, 30_000)
  return {
    name: `policy ${name} exists for ${seconds(forMs)}`,
    subject: 'passing policy',
    forMs,
    begin: () => createPolicy(cluster, policy),
    end: () => deletePolicy(cluster, policy),
  }
}
