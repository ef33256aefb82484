import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { shells } from '../../src/cli/completion/shells.ts'
import { typeInto } from './typing.ts'

const bin = join(import.meta.dirname, '../../bin')

const lines = [
  { name: 'a command', typed: 'sallyport vers\t', line: 'sallyport version' },
  { name: 'an option', typed: 'sallyport install --dry\t', line: 'sallyport install --dry-run' },
  {
    name: 'an output format after "="',
    typed: 'sallyport status --output=\t',
    line: 'sallyport status --output=json',
  },
  {
    name: 'a setting and then its value',
    typed: 'sallyport install --set cni.chainingM\tgen\t',
    line: 'sallyport install --set cni.chainingMode=generic-veth',
  },
  { name: 'a file', typed: 'sallyport install -f val\t', line: 'sallyport install -f values.yaml' },
]

const isInstalled = (program: string): boolean => spawnSync('which', [program]).status === 0

for (const shell of shells)
  test(`in ${shell} the Tab key completes ${lines.map(({ name }) => name).join(', ')}`, {
    skip: isInstalled(shell)
      ? false
      : `${shell} is not installed on this machine, and set-up does not bring it`,
  }, async () => {
    const typed = lines.map((each) => each.typed)
    assert.deepEqual(
      await typeInto(shell, bin, typed),
      lines.map(({ line }) => line),
    )
  })
