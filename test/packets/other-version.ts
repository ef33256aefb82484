import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const repository = join(import.meta.dirname, '../..')

/**
 * The datapath of another version, compiled into a folder: its mappings and pods have a field more, in the middle, and its
 * counters one more verdict. The path of its object file.
 */
export function compileOtherVersion(folder: string): string {
  cpSync(join(repository, 'bpf'), join(folder, 'bpf'), { recursive: true })
  cpSync(join(repository, 'Makefile'), join(folder, 'Makefile'))
  const types = join(folder, 'bpf/types.h')
  const changed = readFileSync(types, 'utf8')
    .replace(/(struct mapping \{[^}]*?)(\t__u64 created_ns;)/, '$1\t__u64 reserved_for_later;\n$2')
    .replace(/(struct pod \{\n)/, '$1\t__u64 reserved_for_later;\n')
    .replace('\tVERDICTS,\n', '\tDROP_OF_TOMORROW,\n\tVERDICTS,\n')
  assert.equal(changed.match(/reserved_for_later/g)?.length, 2)
  writeFileSync(types, changed)
  execFileSync('make', ['-s', '-C', folder, 'build/sallyport.bpf.o'])
  return join(folder, 'build/sallyport.bpf.o')
}
