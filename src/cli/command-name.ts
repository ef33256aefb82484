import { basename } from 'node:path'

/**
 * The name by which the user started this command. kubectl runs `kubectl sallyport` as the file `kubectl-sallyport`, and asks
 * `kubectl_complete-sallyport` for completions. bin/sallyport passes the file's name in the environment, a single executable has it in
 * argv0, and the npm package in argv[1].
 */
interface CommandName {
  /** The name that usage texts show. */
  readonly shown: 'sallyport' | 'kubectl sallyport'
  /** Whether kubectl asks for completions instead of running a command. */
  readonly isCompleting: boolean
}

export function readCommandName(
  environment: NodeJS.ProcessEnv = process.env,
  starts: readonly string[] = [process.argv0, process.argv[1] ?? ''],
): CommandName {
  const passedOn = environment.SALLYPORT_CALLED_AS ?? ''
  const names = [passedOn, ...starts].map((path) => basename(path))
  const isCompleting = names.some((name) => name.startsWith('kubectl_complete-sallyport'))
  const isPlugin = isCompleting || names.some((name) => name.startsWith('kubectl-sallyport'))
  return { shown: isPlugin ? 'kubectl sallyport' : 'sallyport', isCompleting }
}
