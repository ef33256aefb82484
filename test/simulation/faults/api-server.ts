import { type MakeFault, seconds } from './fault.ts'

/** Some sentence, what it does to requests, and how long. */
export const absentServer: MakeFault = ({ cluster, random }) => {
  const forMs = random.within(1_000, 60_000)
  const isSilent = random.percent(50)
  const { apiNetwork } = cluster
  return {
    name: `the API server is away for ${seconds(forMs)}, and ${isSilent ? 'requests wait in vain' : 'connections are refused'}`,
    subject: 'api',
    forMs,
    begin: () => {
      if (isSilent) apiNetwork.cut('*')
      else {
        apiNetwork.faults.isDown = true
        apiNetwork.breakWatches()
      }
    },
    end: () => {
      apiNetwork.faults.isDown = false
      /* The server has started anew, and knows no connection of before. */
      if (isSilent) apiNetwork.mend('*', true)
    },
  }
}

export const nodeCutFromServer: MakeFault = ({ cluster, random }) => {
  const names = [...cluster.machines.map(({ name }) => name), ...cluster.operators.keys()]
  const name = random.pick(names)
  const forMs = random.within(1_000, 60_000)
  const forgets = random.percent(50)
  return {
    name: `${name} does not reach the API server for ${seconds(forMs)}${forgets ? ', and its connections are forgotten' : ''}`,
    subject: `tunnel ${name}`,
    forMs,
    begin: () => cluster.apiNetwork.cut(name),
    end: () => cluster.apiNetwork.mend(name, forgets),
  }
}

export const brokenWatches: MakeFault = ({ cluster, random }) => {
  const isTooOld = random.percent(50)
  const { faults } = cluster.apiNetwork
  return {
    name: `all watches break${isTooOld ? ', and their versions are too old' : ''}`,
    subject: 'watches',
    forMs: 3_000,
    begin: () => {
      if (isTooOld) faults.tooOldPercent = 50
      cluster.apiNetwork.breakWatches()
    },
    end: () => {
      faults.tooOldPercent = 0
    },
  }
}

const watchedKinds = ['nodes', 'pods', 'egressnodes', 'egressaddresses', 'ciliumegressgatewaypolicies', 'isovalentegressgatewaypolicies'] // biome-ignore format: names

export const laggingWatches: MakeFault = ({ cluster, random }) => {
  const plural = random.pick(watchedKinds)
  const lagMs = random.within(50, 5_000)
  const forMs = random.within(2_000, 20_000)
  const { watchLagMs } = cluster.apiNetwork.faults
  return {
    name: `watches of ${plural} lag by ${lagMs} ms, for ${seconds(forMs)}`,
    subject: `watch ${plural}`,
    forMs,
    begin: () => {
      watchLagMs.set(plural, lagMs)
    },
    end: () => {
      watchLagMs.delete(plural)
    },
  }
}

export const refusingServer: MakeFault = ({ cluster, random }) => {
  const [name, key] = random.pick([
    ['requests are refused as too many', 'throttledPercent'],
    ['writes are refused with a conflict', 'conflictPercent'],
    ['writes happen and their answers are lost', 'lostAnswerPercent'],
  ] as const)
  const percent = random.within(10, 70)
  const forMs = random.within(2_000, 20_000)
  const { faults } = cluster.apiNetwork
  return {
    name: `${percent} % of ${name}, for ${seconds(forMs)}`,
    subject: key,
    forMs,
    begin: () => {
      faults[key] = percent
    },
    end: () => {
      faults[key] = 0
    },
  }
}
