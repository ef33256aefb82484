import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { basename, join } from 'node:path'
import { version } from '../../api/version.ts'
import { replaceFile } from '../../runtime/replace-file.ts'

export const pluginType = 'sallyport-cni'

/** Beside the plugin, what it needs to run. */
const bundleName = '.sallyport'
const stampName = 'version'
const pluginName = 'main.mjs'

/** Container runtimes ask for it by this name, whatever the pods' network is. */
const loopbackName = 'loopback'

interface Binary {
  /** The container runtime has other files than the agent. */
  readonly isInImage: boolean
  readonly agentSocket: string
}

/**
 * Puts the plugin where the container runtime looks. From an image, it brings Node.js and its libraries too, and runs from wherever
 * the node has the folder. This needs glibc and /bin/sh on the node.
 *
 * Runtimes also refuse every pod if the node has no plugin called `loopback`. If it is missing, the same program takes that name. Debian's
 * loopback binary would need no agent, but it needs glibc 2.34, which nodes have that our Node.js (glibc 2.28) still runs on.
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

/** A link that leads nowhere is somebody's too. */
function isThere(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined
}

function isOurScript(path: string): boolean {
  return (
    existsSync(path) && readFileSync(path).subarray(0, scriptHead.length).toString('latin1') === scriptHead
  )
}

/** True where there was one. */
export function removeBinary(folder: string): boolean {
  const path = join(folder, pluginType)
  const wasThere = existsSync(path)
  rmSync(path, { force: true })
  const loopback = join(folder, loopbackName)
  if (isOurScript(loopback)) rmSync(loopback)
  rmSync(join(folder, bundleName), { recursive: true, force: true })
  return wasThere
}

/** Without its types: it is started anew for every pod, and taking them away takes as long as all the rest. */
function writePlugin(folder: string): void {
  const path = join(folder, pluginName)
  const source = stripTypeScriptTypes(readFileSync(new URL('../../cni/main.ts', import.meta.url), 'utf8'))
  if (!existsSync(path) || readFileSync(path, 'utf8') !== source) replaceFile(path, source)
}

/** Once a version. */
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

/** Those of the C++ compiler, which a node may not have, by the names that Node.js asks for. */
function ownLibraries(): ReadonlyMap<string, string> {
  const loaded = readFileSync('/proc/self/maps', 'utf8').match(/\/\S*\/lib(?:stdc\+\+|gcc_s)\.so\.\S*/g) ?? []
  return new Map(loaded.map((path) => [basename(path).replace(/(\.so\.\d+).*/, '$1'), path]))
}
