import type { FaultContext, MakeFault } from './fault.ts'
import { seconds } from './fault.ts'

function pickMachine({ cluster, random }: FaultContext): string | undefined {
  const running = cluster.machines.filter((machine) => cluster.agentOf(machine) !== undefined)
  return running.length === 0 ? undefined : random.pick(running).name
}

/** Killed between two events. */
export const killedAgent: MakeFault = (context) => {
  const { cluster, random } = context
  const name = pickMachine(context)
  const forMs = random.within(100, 20_000)
  if (name === undefined) return undefined
  return {
    name: `the agent of ${name} is killed, and starts again after ${seconds(forMs)}`,
    subject: `agent ${name}`,
    forMs,
    begin: () => cluster.member(name).run?.process.kill(),
    end: () => cluster.startAgent(name),
  }
}

/** Killed at its n-th system call from now. */
export const killedInTheMiddle: MakeFault = (context) => {
  const { cluster, random } = context
  const name = pickMachine(context)
  const touches = random.within(1, 300)
  const forMs = random.within(3_000, 20_000)
  if (name === undefined) return undefined
  return {
    name: `the agent of ${name} will be killed at its ${touches}. step from now`,
    subject: `agent ${name}`,
    forMs,
    begin: () => cluster.member(name).run?.process.killAfter(touches),
    end: () => {
      cluster.member(name).run?.process.killAfter(Number.POSITIVE_INFINITY)
      cluster.startAgent(name)
    },
  }
}

/** As an upgrade does it: stopped in good order, and the next one starts. */
export const upgradedAgent: MakeFault = (context) => {
  const { cluster, random } = context
  const name = pickMachine(context)
  const forMs = random.within(500, 8_000)
  if (name === undefined) return undefined
  return {
    name: `the agent of ${name} is upgraded, which takes ${seconds(forMs)}`,
    subject: `agent ${name}`,
    forMs,
    begin: () => cluster.member(name).run?.process.terminate(),
    end: () => {
      const run = cluster.member(name).run
      if (run?.process.isDead === false) run.process.kill()
      cluster.startAgent(name)
    },
  }
}

export const frozenAgent: MakeFault = (context) => {
  const { cluster, random } = context
  const name = pickMachine(context)
  const forMs = random.within(200, 12_000)
  const run = name === undefined ? undefined : cluster.member(name).run
  if (run === undefined) return undefined
  return {
    name: `the agent of ${name} stands still for ${seconds(forMs)}`,
    subject: `agent ${name}`,
    forMs,
    begin: () => run.process.freeze(),
    end: () => run.process.thaw(),
  }
}

export const killedOperator: MakeFault = ({ cluster, random }) => {
  const names = [...cluster.operators].filter(([, { process }]) => process.isRunning).map(([name]) => name)
  const [name] = names
  const forMs = random.within(500, 30_000)
  if (name === undefined) return undefined
  return {
    name: `${name} is killed, and starts again after ${seconds(forMs)}`,
    subject: name,
    forMs,
    begin: () => cluster.operators.get(name)?.process.kill(),
    end: () => cluster.startOperator(name),
  }
}

export const operatorKilledInTheMiddle: MakeFault = ({ cluster, random }) => {
  const names = [...cluster.operators].filter(([, { process }]) => process.isRunning).map(([name]) => name)
  const [name] = names
  const touches = random.within(1, 30)
  if (name === undefined) return undefined
  return {
    name: `${name} will be killed at its ${touches}. step from now`,
    subject: name,
    forMs: random.within(5_000, 20_000),
    begin: () => cluster.operators.get(name)?.process.killAfter(touches),
    end: () => {
      const run = cluster.operators.get(name)
      run?.process.killAfter(Number.POSITIVE_INFINITY)
      if (run?.process.isDead) cluster.startOperator(name)
    },
  }
}

/** Stands still while it leads; another takes its place, and then there are two that believe to lead. */
export const secondOperator: MakeFault = ({ cluster, random }) => {
  const first = cluster.operators.get('operator1')
  const forMs = random.within(5_000, 40_000)
  if (first === undefined || !first.process.isRunning) return undefined
  return {
    name: `operator1 stands still for ${seconds(forMs)}, and operator2 starts`,
    subject: 'operator1',
    forMs,
    begin: () => {
      first.process.freeze()
      cluster.startOperator('operator2')
    },
    end: () => {
      first.process.thaw()
      cluster.clock.after(5_000, () => cluster.operators.get('operator2')?.process.kill())
    },
  }
}
