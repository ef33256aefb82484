import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { stripTypeScriptTypes } from 'node:module'
import { basename, join } from 'node:path'
import { version } from '../api/version.ts'

export const pluginType = 'sallyport-cni'

/** Beside the plugin, what it needs to run. */
const bundleName = '.sallyport'
const stampName = 'version'
const pluginName = 'main.mjs'

/**
 * Puts the plugin where the container runtime looks. In an image the runtime has other files than we: Node.js and its
 * libraries go along then, and the plugin runs from there, wherever the node has the folder. That asks of the node for glibc
 * and /bin/sh.
 */
export function installBinary(folder: string, isInImage: boolean): void {
  const own = join(folder, bundleName)
  mkdirSync(own, { recursive: true })
  writePlugin(own)
  if (isInImage) bundleNode(own)
  const node = isInImage ? 'LD_LIBRARY_PATH=$here exec "$here/node"' : `exec ${process.execPath}`
  const script = `#!/bin/sh
# Made by the Sallyport agent when it starts.
here=\${0%/*}/${bundleName}
${node} "$here/${pluginName}"
`
  const path = join(folder, pluginType)
  if (existsSync(path) && readFileSync(path, 'utf8') === script) return
  writeWhole(path, (unfinished) => writeFileSync(unfinished, script))
  chmodSync(path, 0o755)
}

/** True where there was one. */
export function removeBinary(folder: string): boolean {
  const path = join(folder, pluginType)
  const wasThere = existsSync(path)
  rmSync(path, { force: true })
  rmSync(join(folder, bundleName), { recursive: true, force: true })
  return wasThere
}

/** Without its types: it is started anew for every pod, and taking them away takes as long as all the rest. */
function writePlugin(folder: string): void {
  const path = join(folder, pluginName)
  const source = stripTypeScriptTypes(readFileSync(new URL('../cni/main.ts', import.meta.url), 'utf8'))
  if (!existsSync(path) || readFileSync(path, 'utf8') !== source)
    writeWhole(path, (unfinished) => writeFileSync(unfinished, source))
}

/** Once a version. */
function bundleNode(folder: string): void {
  const stamp = `${version} ${process.version} ${process.arch}\n`
  const stampPath = join(folder, stampName)
  if (!existsSync(stampPath) || readFileSync(stampPath, 'utf8') !== stamp) {
    rmSync(stampPath, { force: true })
    for (const [name, from] of new Map([['node', process.execPath], ...ownLibraries()]))
      writeWhole(join(folder, name), (unfinished) => copyFileSync(from, unfinished))
    chmodSync(join(folder, 'node'), 0o755)
    writeFileSync(stampPath, stamp)
  }
}

/** Those of the C++ compiler, which a node may not have, by the names that Node.js asks for. */
function ownLibraries(): ReadonlyMap<string, string> {
  const loaded = readFileSync('/proc/self/maps', 'utf8').match(/\/\S*\/lib(?:stdc\+\+|gcc_s)\.so\.\S*/g) ?? []
  return new Map(loaded.map((path) => [basename(path).replace(/(\.so\.\d+).*/, '$1'), path]))
}

/** A plugin that is running keeps the file that it was started from. */
function writeWhole(path: string, write: (unfinished: string) => void): void {
  write(`${path}.new`)
  renameSync(`${path}.new`, path)
}
