import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { requireInside, type VolumeFile, type VolumeFiles } from './volume-files.ts'

export interface Owner {
  readonly uid: number
  readonly gid: number
}

const current = '..data'

/**
 * Makes a volume hold exactly these files, all at one moment, as a real kubelet does: the files are in a folder of their own,
 * `..data` points to it, and each name that a container opens points through `..data`. A reader sees the old files or the new
 * ones, never some of both. Files that are there already are left alone.
 */
export function writeAtomically(directory: string, files: VolumeFiles, owner?: Owner): void {
  mkdirSync(directory, { recursive: true, mode: 0o755 })
  for (const path of files.keys()) requireInside(path)
  const link = join(directory, current)
  const before = existsSync(link) ? readlinkSync(link) : undefined
  if (before !== undefined && holds(join(directory, before), files)) return
  const folder = mkdtempSync(join(directory, `..${new Date().toISOString().replaceAll(/[-:TZ]/g, '_')}`))
  chmodSync(folder, 0o755)
  for (const [path, file] of files) writeOne(folder, path, file, owner)
  const next = `${link}_tmp`
  rmSync(next, { force: true })
  symlinkSync(folder.slice(directory.length + 1), next)
  renameSync(next, link)
  linkNames(directory, files)
  removeOthers(directory, folder.slice(directory.length + 1), files)
}

function writeOne(folder: string, path: string, { content, mode }: VolumeFile, owner?: Owner): void {
  const file = join(folder, path)
  mkdirSync(dirname(file), { recursive: true, mode: 0o755 })
  writeFileSync(file, content)
  /* What the umask took from a new file's mode. */
  chmodSync(file, mode)
  if (owner !== undefined) chownSync(file, owner.uid, owner.gid)
}

function holds(folder: string, files: VolumeFiles): boolean {
  const present = listFiles(folder)
  return (
    present.length === files.size &&
    present.every((path) => {
      const file = files.get(path)
      const full = join(folder, path)
      return (
        file !== undefined &&
        readFileSync(full).equals(file.content) &&
        (statSync(full).mode & 0o777) === file.mode
      )
    })
  )
}

function listFiles(folder: string, below = ''): string[] {
  if (!existsSync(join(folder, below))) return []
  return readdirSync(join(folder, below), { withFileTypes: true }).flatMap((entry) => {
    const path = join(below, entry.name)
    return entry.isDirectory() ? listFiles(folder, path) : [path]
  })
}

const firstNames = (files: VolumeFiles): Set<string> =>
  new Set([...files.keys()].map((path) => path.split('/')[0] ?? ''))

function linkNames(directory: string, files: VolumeFiles): void {
  for (const name of firstNames(files)) {
    const link = join(directory, name)
    if (lstatSync(link, { throwIfNoEntry: false }) === undefined) symlinkSync(join(current, name), link)
  }
}

function removeOthers(directory: string, folder: string, files: VolumeFiles): void {
  const kept = new Set([...firstNames(files), current, folder])
  for (const name of readdirSync(directory))
    if (!kept.has(name)) rmSync(join(directory, name), { recursive: true, force: true })
}
