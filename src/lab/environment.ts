import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { labPaths, repository } from './layout.ts'

/** The Node.js that the package brings, or the one that runs this. */
export const nodeBinary = existsSync(join(repository, 'node_modules/.bin/node'))
  ? join(repository, 'node_modules/.bin/node')
  : process.execPath

/** As bin/sallyport has it: compiled once, sources start in half the time. */
const compileCache = { NODE_COMPILE_CACHE: join(repository, 'build/compile-cache') }

/** Of the lab's own processes. */
export const daemonEnvironment: NodeJS.ProcessEnv = { ...process.env, ...compileCache }

/** What commands find when they are typed in a lab. */
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
