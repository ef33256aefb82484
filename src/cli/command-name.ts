import { basename } from 'node:path'

/**
 * What the person typed. kubectl runs `kubectl sallyport` as the file `kubectl-sallyport`, and asks `kubectl_complete-sallyport` for
 * completions. Three things tell the name of that file: bin/sallyport hands it on, a single executable has it in argv0, and Node.js in argv[1].
 */
export interface CommandName {
  /** For usage texts. */
  readonly shown: 'sallyport' | 'kubectl sallyport'
  /** kubectl asks for completions, and does not run a command. */
  readonly isCompleting: boolean
}

export function readCommandName(
  environment: NodeJS.ProcessEnv = process.env,
  starts: readonly string[] = [process.argv0, process.argv[1] ?? ''],
): CommandName {
  const handedOn = environment.SALLYPORT_CALLED_AS ?? ''
  const names = [handedOn, ...starts].map((path) => basename(path))
  const isCompleting = names.some((name) => name.startsWith('kubectl_complete-sallyport'))
  const isPlugin = isCompleting || names.some((name) => name.startsWith('kubectl-sallyport'))
  return { shown: isPlugin ? 'kubectl sallyport' : 'sallyport', isCompleting }
}
