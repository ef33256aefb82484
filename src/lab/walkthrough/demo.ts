import { styleText } from 'node:util'
import { startLab, stopLab } from '../lab.ts'
import { type LabState, loadLab } from '../lab-state.ts'
import { isRunning } from '../machines/machine.ts'
import { showPage } from './page-of-lab.ts'
import type { Step } from './step.ts'
import { steps } from './steps.ts'
import { walk } from './walk.ts'

/** The demo has its own lab, so that it can run beside other labs and demos. */
async function chooseName(print: (line: string) => void): Promise<string> {
  const earlier = loadLab('demo')
  if (earlier !== undefined && isRunning(earlier.startedBy)) return `demo-${process.pid}`
  if (earlier !== undefined) {
    print('Removing the lab of an earlier demo …')
    await stopLab('demo')
  }
  return 'demo'
}

/**
 * Starts a lab, runs the walkthrough in it, and removes the lab, even after ctrl-C. Returns the exit code. With a terminal, it shows the
 * page of the lab before it removes it, until ctrl-C.
 */
export async function runDemo(
  print: (line: string) => void,
  story: readonly Step[] = steps,
  hasTerminal = false,
): Promise<number> {
  const aborted = new AbortController()
  const abort = (): void => aborted.abort(new Error('interrupted'))
  process.on('SIGINT', abort)
  process.on('SIGTERM', abort)
  const startedMs = Date.now()
  let started: LabState | undefined
  try {
    const name = await chooseName(print)
    print(styleText('bold', 'Starting a cluster of five nodes on this machine'))
    const state = await startLab({ name, signal: aborted.signal, onProgress: (step) => print(`  ${step} …`) })
    started = state
    const failed: Step[] = []
    let section = ''
    let count = 0
    for await (const { step, answer, problem } of walk(state, story, aborted.signal)) {
      aborted.signal.throwIfAborted()
      if (step.section !== section) {
        section = step.section
        print(`\n${styleText('bold', section)}`)
      }
      count++
      print(`\n${styleText('dim', `# ${step.title}`)}`)
      print(styleText('cyan', `$ ${step.command}`))
      if (answer.text !== '') print(answer.text)
      if (problem !== undefined) failed.push(step)
      print(problem === undefined ? styleText('green', '✓ as expected') : styleText('red', `✗ ${problem}`))
    }
    const seconds = Math.round((Date.now() - startedMs) / 1000)
    print(`\n${count - failed.length} of ${count} steps gave the expected answer, in ${seconds} s.`)
    for (const step of failed) print(styleText('red', `✗ ${step.title}`))
    if (hasTerminal) await showPage(state, print, aborted.signal)
    return failed.length === 0 ? 0 : 1
  } catch (error) {
    print(
      aborted.signal.aborted
        ? '\nInterrupted.'
        : styleText('red', error instanceof Error ? error.message : String(error)),
    )
    return 1
  } finally {
    if (started !== undefined) {
      print('Removing the lab …')
      await stopLab(started.name)
    }
    print('Nothing is left behind.')
    process.off('SIGINT', abort)
    process.off('SIGTERM', abort)
  }
}
