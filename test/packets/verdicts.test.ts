import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import { readBtf } from '../../src/datapath/btf.ts'
import { defaultObjectFile } from '../../src/datapath/datapath.ts'

const skip = existsSync(defaultObjectFile) ? false : 'the datapath is not compiled: make build'

/** Verdicts that no packet test expects, each with the reason. */
const untested: Readonly<Record<string, string>> = {
  CONTINUE: 'is no ending',
  VERDICTS: 'is the number of verdicts',
  DROP_INTERNAL: 'no packet makes a helper of the kernel fail',
}

test('a packet test expects every verdict there is', { skip }, () => {
  const cases = readdirSync(import.meta.dirname)
    .filter((name) => /^(from-|mapping-life|wire|way-out).*\.test\.ts$/.test(name))
    .map((name) => readFileSync(`${import.meta.dirname}/${name}`, 'utf8'))
    .join('\n')
  const verdicts = [...readBtf(defaultObjectFile).enumeration('verdict').keys()]
  const missing = verdicts.filter((verdict) => !cases.includes(`'${verdict}'`))
  assert.deepEqual(missing.toSorted(), Object.keys(untested).toSorted())
})
