import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { labPaths, repository } from './layout.ts'

/** The Node.js of the npm package, or the one that runs this process. */
export const nodeBinary = existsSync(join(repository, 'node_modules/.bin/node'))
  ? join(repository, 'node_modules/.bin/node')
  : process.execPath

/** As in bin/sallyport: with cached compiled sources, a process starts in half the time. */
const compileCache = { NODE_COMPILE_CACHE: join(repository, 'build/compile-cache') }

/** The environment of the lab's own processes. */
export const daemonEnvironment: NodeJS.ProcessEnv = { ...process.env, ...compileCache }

/** The environment of commands in a lab's shell. */
export function labEnvironment(name: string): NodeJS.ProcessEnv {
  const paths = labPaths(name)
  return {
    PATH: `${paths.bin}:${join(repository, 'node_modules/.bin')}:${process.env.PATH ?? '/usr/sbin:/usr/bin:/sbin:/bin'}`,
    HOME: paths.home,
    KUBECONFIG: paths.kubeconfig,
    SALLYPORT_LAB: name,
    SALLYPORT_COMPATIBLE_NAMES: 'cilium',
    ...compileCache,
    TERM: process.env.TERM ?? 'dumb',
    LANG: process.env.LANG ?? 'C.UTF-8',
  }
}
