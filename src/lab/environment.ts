import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { labPaths, repository } from './layout.ts'

/** The Node.js of the npm package, or the one that runs this process. */
export const nodeBinary = existsSync(join(repository, 'node_modules/.bin/node'))
  ? join(repository, 'node_modules/.bin/node')
  : process.execPath

/** The environment of commands in a lab's shell. */
export function labEnvironment(name: string): NodeJS.ProcessEnv {
  const paths = labPaths(name)
  return {
    PATH: `${paths.bin}:${join(repository, 'node_modules/.bin')}:${process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin'}`,
    HOME: paths.home,
    KUBECONFIG: paths.kubeconfig,
    SALLYPORT_LAB: name,
    SALLYPORT_COMPATIBLE_NAMES: 'cilium',
    /* As in bin/sallyport, because every command here is a new process. */
    NODE_COMPILE_CACHE: join(repository, 'build/compile-cache'),
    TERM: process.env.TERM ?? 'dumb',
    LANG: process.env.LANG ?? 'C.UTF-8',
  }
}
