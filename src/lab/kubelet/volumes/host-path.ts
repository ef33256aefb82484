import { existsSync, mkdirSync, type Stats, statSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { HostPathSource } from './volume-spec.ts'

/** Nodes have these for themselves; a folder made elsewhere would appear on the machine, and stay. */
const ownFolders = ['/etc', '/opt', '/run', '/var/log', '/var/run']

const kinds: Readonly<Record<string, readonly [is: (file: Stats) => boolean, words: string]>> = {
  Directory: [(file) => file.isDirectory(), 'a directory'],
  File: [(file) => file.isFile(), 'a file'],
  Socket: [(file) => file.isSocket(), 'a socket file'],
  CharDevice: [(file) => file.isCharacterDevice(), 'a character device'],
  BlockDevice: [(file) => file.isBlockDevice(), 'a block device'],
}

/** The path on the node, created or checked by its type. */
export function prepareHostPath({ path, type = '' }: HostPathSource): string {
  const asked = type.replace('OrCreate', '')
  const makesIt = type === '' || type.endsWith('OrCreate')
  if (!existsSync(path) && makesIt) {
    requireOwn(path)
    if (asked === 'File') {
      mkdirSync(dirname(path), { recursive: true })
      writeFileSync(path, '', { flag: 'a' })
    } else mkdirSync(path, { recursive: true })
  }
  const kind = kinds[asked]
  if (kind === undefined && asked !== '')
    throw new Error(`hostPath type check failed: ${type} is an invalid volume type`)
  const [is, words] = kind ?? []
  const found = statSync(path, { throwIfNoEntry: false })
  if (is !== undefined && (found === undefined || !is(found)))
    throw new Error(`hostPath type check failed: ${path} is not ${words}`)
  return path
}

/** The lab would have to create this, and could not remove it again. */
export function requireOwn(path: string): void {
  if (existsSync(path) || ownFolders.some((folder) => path.startsWith(`${folder}/`))) return
  throw new Error(
    `${path} does not exist, and the lab makes folders in ${ownFolders.join(', ')} only: what it made elsewhere would stay on this machine`,
  )
}
