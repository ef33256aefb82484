import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { readArchive } from '../image/archive.ts'
import { run } from '../image/run.ts'

/* What `make image` has built, file by file, without running it; the lab runs it. */

const archive = join(import.meta.dirname, '../build/image/sallyport.tar')
const skip = existsSync(archive) ? false : 'the image is not built: make image, as root'

/** As `tar` lists them: type and mode, owner, name, target of a link. */
function listFiles(): ReadonlyMap<string, { readonly mode: string; readonly target: string | undefined }> {
  const list = readArchive(archive).layers.flatMap(({ digest }) => {
    const blob = `blobs/${digest.replace(':', '/')}`
    const unpack = 'tar --extract --to-stdout --file "$0" "$1" | tar --list --verbose --gzip --numeric-owner'
    return run('sh', ['-c', unpack, archive, blob]).trim().split('\n')
  })
  return new Map(
    list.map((line) => {
      const [mode = ''] = line.split(' ')
      const [name = '', target] = line.replace(/^\S+ +\S+ +\S+ \S+ \S+ /, '').split(/ -> | link to /)
      return [name.replace(/\/$/, ''), { mode, target }] as const
    }),
  )
}

describe('the image that was built', { skip }, () => {
  const files = skip === false ? listFiles() : new Map<string, never>()

  test('is below 120 MB compressed', () => assert.ok(readArchive(archive).compressedBytes < 120e6))

  test('holds what manifests, probes and the clean-up run', () => {
    for (const program of ['sh', 'stat', 'mount', 'find', 'setpriv', 'env', 'readlink'])
      assert.ok(files.has(`usr/bin/${program}`), program)
  })

  test('has one /run, as the network namespaces that a runtime names by either path', () => {
    assert.equal(files.get('var/run')?.target, '/run')
  })

  test('has no file that makes its user root', () => {
    for (const [name, { mode }] of files)
      if (mode.startsWith('-')) assert.doesNotMatch(mode, /s/i, `${name} is ${mode}`)
  })

  test('has neither the lab, nor tests, nor packages of laptops', () => {
    const unwanted = /^opt\/sallyport\/(src\/lab\/|.*\.test\.ts$|node_modules\/@kubernetes\/)/
    assert.deepEqual(
      [...files.keys()].filter((name) => unwanted.test(name)),
      [],
    )
  })
})
