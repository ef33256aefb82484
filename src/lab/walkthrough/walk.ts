import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { LabState } from '../lab-state.ts'
import { labPaths } from '../layout.ts'
import { exec } from '../shell.ts'
import { followedTo, nodeIn, writtenNode } from './pod-node.ts'
import type { Answer, Step } from './step.ts'

export interface StepResult {
  readonly step: Step
  readonly answer: Answer
  /** What is not as it should be; undefined when all is. */
  readonly problem: string | undefined
}

/** Variables that live from one command to the next, as they would in one shell. */
const variables = ['OUTPOST', 'GATEWAY_IP', 'EGRESS_NODE', 'CILIUM_POD', 'CILIUM3_POD', 'CILIUM4_POD']

/**
 * Runs one command as if it were typed at a terminal: kubectl exec -t wants one. Before each try, the variables are what the
 * last step left.
 */
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

/** Carriage returns, and what `grep --color` adds. */
const escapes = new RegExp(`\\r|${String.fromCharCode(27)}\\[[0-9;]*[mK]`, 'g')

/** Walks the steps in order, and goes on after one that is not as it should be. */
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
