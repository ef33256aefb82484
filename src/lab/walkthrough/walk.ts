import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { LabState } from '../lab-state.ts'
import { labPaths } from '../layout.ts'
import { exec } from '../shell.ts'
import { followedTo, nodeIn, writtenNode } from './pod-node.ts'
import type { Answer, Step } from './step.ts'

interface StepResult {
  readonly step: Step
  readonly answer: Answer
  /** What is wrong with the answer. Undefined if nothing is. */
  readonly problem: string | undefined
}

/** Variables that are kept from one command to the next, as in one shell. */
const variables = ['OUTPOST', 'GATEWAY_IP', 'EGRESS_NODE', 'CILIUM_POD', 'CILIUM3_POD', 'CILIUM4_POD']

/** Runs one command at a terminal, because kubectl exec -t needs one. The variables have the values of the last step. */
async function runStep(state: LabState, command: string, signal: AbortSignal): Promise<Answer> {
  const directory = labPaths(state.name).directory
  const [script, kept] = [join(directory, 'step.sh'), join(directory, 'step.env')]
  if (!existsSync(kept)) writeFileSync(kept, '')
  writeFileSync(
    script,
    `. ${kept}\n${command}\ncode=$?\ndeclare -p ${variables.join(' ')} >${kept}.new 2>/dev/null\nmv ${kept}.new ${kept}\nexit $code\n`,
  )
  const { code, output } = await exec(
    state,
    ['script', '--quiet', '--return', '--command', `bash ${script}`, '/dev/null'],
    { signal },
  )
  return { text: output.replaceAll(escapes, '').trimEnd(), exitCode: code }
}

/** Carriage returns, and the colours of `grep --color`. */
const escapes = new RegExp(`\\r|${String.fromCharCode(27)}\\[[0-9;]*[mK]`, 'g')

/** Runs the steps in order. It continues after a wrong answer. */
export async function* walk(
  state: LabState,
  steps: readonly Step[],
  signal: AbortSignal,
): AsyncGenerator<StepResult> {
  rmSync(join(labPaths(state.name).directory, 'step.env'), { force: true })
  let node = writtenNode
  for (const written of steps) {
    let step = followedTo(node, written)
    if (step.typedInMs !== undefined) await setTimeout(step.typedInMs)
    const deadline = Date.now() + (step.retryForMs ?? 0)
    for (;;) {
      const answer = await runStep(state, step.command, signal)
      if (written.showsNode) node = nodeIn(answer.text) ?? node
      step = followedTo(node, written)
      const problem = step.expect?.(answer)
      if (problem === undefined || Date.now() >= deadline || signal.aborted) {
        yield { step, answer, problem }
        break
      }
      await setTimeout(500)
    }
  }
}
