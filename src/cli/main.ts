import { type Command, CommanderError } from 'commander'
import { leaveWithReader } from '../runtime/closed-pipe.ts'
import { readCommandName } from './command-name.ts'
import { print } from './output.ts'
import { buildProgram } from './program.ts'
import { UserError } from './user-error.ts'

leaveWithReader()

/** There is no `await` at top level, because a single executable needs a CommonJS module. */
async function run(): Promise<void> {
  const name = readCommandName()
  delete process.env.SALLYPORT_CALLED_AS
  const words = process.argv.slice(2)
  const asked = name.isCompleting ? words : words[0] === '__complete' ? words.slice(1) : undefined
  try {
    const program = await buildProgram(name.shown, (asked ?? words)[0])
    if (asked !== undefined) await printCompletion(program, asked)
    else await program.parseAsync()
  } catch (error) {
    process.exitCode = explain(error)
  }
}

async function printCompletion(program: Command, words: readonly string[]): Promise<void> {
  const { complete, formatCompletion } = await import('./completion/candidates.ts')
  print(formatCompletion(complete(program, words)))
}

/** Prints the error and returns the exit code: 2 for wrong usage, 1 for a failure. */
function explain(error: unknown): number {
  // commander has already printed its own errors. It reports --help as one of them, with exit code 0.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  const message = error instanceof Error ? error.message : String(error)
  process.stderr.write(`sallyport: ${message}\n`)
  return error instanceof UserError ? error.exitCode : 1
}

void run()
