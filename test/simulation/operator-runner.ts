import type { Settings } from '../../src/decide/world.ts'
import { Operator } from '../../src/operator/operator.ts'
import type { AgentSurroundings } from './agent-runner.ts'
import { ApiLink } from './api-link.ts'
import { type MachineTime, SimulatedProcess } from './process.ts'

/** One run of the real operator. It needs nothing of the machine that it runs on but its clock. */
export class OperatorRun {
  readonly process: SimulatedProcess

  constructor(
    name: string,
    machine: MachineTime,
    around: Pick<AgentSurroundings, 'clock' | 'story' | 'random' | 'api'>,
    settings: Settings,
  ) {
    const { clock, story, random, api } = around
    this.process = new SimulatedProcess(name, { world: clock, machine, story, onDeath: () => {} })
    const draw = random.fork(`${name} ${clock.nowUs}`)
    const operator = this.process.enter(
      () =>
        new Operator({
          client: new ApiLink(api, this.process, name),
          clock: this.process.clock,
          random: () => draw.next(),
          log: this.process.log,
          settings,
          namespace: 'kube-system',
          identity: `${name}_${clock.nowUs}`,
        }),
    )
    this.process.run((signal) => operator.start(signal))
  }
}
