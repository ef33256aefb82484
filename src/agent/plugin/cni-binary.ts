import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { version } from '../../api/version.ts'
import { replaceFile } from '../../runtime/replace-file.ts'
import { readPlugin } from './plugin-source.ts'

export const pluginType = 'sallyport-cni'

/** The folder beside the plugin with the files that it needs to run. */
const bundleName = '.sallyport'
const stampName = 'version'
const pluginName = 'main.mjs'

/** Container runtimes call a plugin of this name for every pod, whatever the pods' network is. */
const loopbackName = 'loopback'

interface Binary {
  /** The agent runs in an image, so the container runtime sees the node's files, not the agent's. */
  readonly isInImage: boolean
  readonly agentSocket: string
}

/**
 * Installs the plugin in the folder that the container runtime reads. If the agent runs in an image, it also copies Node.js
 * and its libraries there. The node needs glibc and /bin/sh. The node may mount the folder at any path.
 *
 * Runtimes also refuse every pod if the node has no plugin called `loopback`. If it is missing, our plugin is installed under
 * that name too. Debian's loopback binary would work without an agent. But it needs glibc 2.34, and our Node.js also runs on
 * nodes with glibc 2.28.
 */
export function installBinary(folder: string, { isInImage, agentSocket }: Binary): void {
  const own = join(folder, bundleName)
  mkdirSync(own, { recursive: true })
  writePlugin(own)
  if (isInImage) bundleNode(own)
  const node = isInImage ? 'LD_LIBRARY_PATH=$here exec "$here/node"' : `exec ${process.execPath}`
  const script = (words: string): string => `${scriptHead}
here=\${0%/*}/${bundleName}
${node} "$here/${pluginName}"${words}
`
  writeScript(join(folder, pluginType), script(''))
  const loopback = join(folder, loopbackName)
  if (!isThere(loopback) || isOurScript(loopback)) writeScript(loopback, script(` loopback '${agentSocket}'`))
}

const scriptHead = `#!/bin/sh
# Made by the Sallyport agent when it starts.`

function writeScript(path: string, script: string): void {
  if (existsSync(path) && readFileSync(path, 'utf8') === script) return
  replaceFile(path, script, 0o755)
}

/** True also for a dangling symbolic link, because another product made it. */
function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined
}

function isOurScript(path: string): boolean {
  return (
    existsSync(path) && readFileSync(path).subarray(0, scriptHead.length).toString('latin1') === scriptHead
  )
}

/** Returns whether the plugin was installed. */
export function removeBinary(folder: string): boolean {
  const path = join(folder, pluginType)
  const wasThere = existsSync(path)
  rmSync(path, { force: true })
  const loopback = join(folder, loopbackName)
  if (isOurScript(loopback)) rmSync(loopback)
  rmSync(join(folder, bundleName), { recursive: true, force: true })
  return wasThere
}

function writePlugin(folder: string): void {
  const path = join(folder, pluginName)
  const source = readPlugin()
  if (!existsSync(path) || readFileSync(path, 'utf8') !== source) replaceFile(path, source)
}

/** Copies Node.js and its libraries, once for each version. */
function bundleNode(folder: string): void {
  const stamp = `${version} ${process.version} ${process.arch}\n`
  const stampPath = join(folder, stampName)
  if (!existsSync(stampPath) || readFileSync(stampPath, 'utf8') !== stamp) {
    rmSync(stampPath, { force: true })
    for (const [name, from] of new Map([['node', process.execPath], ...ownLibraries()]))
      replaceFile(join(folder, name), { copyOf: from })
    chmodSync(join(folder, 'node'), 0o755)
    writeFileSync(stampPath, stamp)
  }
}

/** The C++ runtime libraries, which a node may lack, by the names under which Node.js loads them. */
function ownLibraries(): ReadonlyMap<string, string> {
  const loaded = readFileSync('/proc/self/maps', 'utf8').match(/\/\S*\/lib(?:stdc\+\+|gcc_s)\.so\.\S*/g) ?? []
  return new Map(loaded.map((path) => [basename(path).replace(/(\.so\.\d+).*/, '$1'), path]))
}
