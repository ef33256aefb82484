import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { run } from './run.ts'

export interface Layer {
  readonly name: string
  /** The paths of the layer in the root folder. `except` lists paths below them that belong to other layers. */
  readonly paths: readonly string[]
  readonly except?: readonly string[]
  /** The files come from a working copy, which others may be able to write to. Debian's files keep their modes. */
  readonly isOurs?: boolean
}

export interface Image {
  readonly reference: string
  readonly root: string
  readonly layers: readonly Layer[]
  /** Arguments of `buildah config`. */
  readonly settings: readonly string[]
}

/**
 * Packs a root folder into an OCI archive. The same files and the same time give the same bytes, because names are sorted and all files
 * have the given time.
 */
export function pack(image: Image, folder: string, archive: string, seconds: number): void {
  const storage = join(folder, 'storage')
  const runRoot = join(folder, 'storage-run')
  removeStorage(storage, runRoot)
  mkdirSync(storage, { recursive: true })
  const buildah = (...words: string[]): string =>
    run('buildah', [
      ...['--storage-driver', 'overlay', '--root', storage, '--runroot', runRoot],
      ...words,
    ]).trim()
  try {
    let base = 'scratch'
    for (const layer of image.layers) {
      const file = join(folder, `${layer.name}.tar`)
      archiveLayer(image.root, layer, file, seconds)
      const container = buildah('from', base)
      buildah('add', '--quiet', container, file, '/')
      if (layer === image.layers.at(-1)) buildah('config', ...image.settings, container)
      base = buildah('commit', '--quiet', '--timestamp', String(seconds), container)
      buildah('rm', container)
      rmSync(file)
    }
    rmSync(archive, { force: true })
    buildah('push', '--quiet', base, `oci-archive:${archive}:${image.reference}`)
  } finally {
    removeStorage(storage, runRoot)
  }
}

function archiveLayer(root: string, { paths, except = [], isOurs = false }: Layer, file: string, seconds: number): void {
  run('tar', [
    ...['--create', '--file', file, '--directory', root, '--format=posix', '--sort=name', '--numeric-owner'],
    ...[`--mtime=@${seconds}`, '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime'],
    ...(isOurs ? ['--mode=go-w'] : []),
    ...except.map((path) => `--exclude=./${path}`),
    ...paths.map((path) => `./${path}`),
  ])
}

/** Deletes buildah's storage, which may still be mounted after a crash. */
function removeStorage(...folders: readonly string[]): void {
  const unmount = 'grep -o " $0[/ ][^ ]*" /proc/mounts | tac | while read -r at; do umount "$at"; done'
  for (const folder of folders) {
    run('sh', ['-c', unmount, folder])
    rmSync(folder, { recursive: true, force: true })
  }
}
