import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'

const module_ = `${import.meta.dirname}/closed-pipe.ts`

/** Prints for ever into a pipe whose reader takes one line. */
function printInto(reader: string, before: string) {
  const program = `${before}
    const { leaveWithReader } = await import(${JSON.stringify(module_)})
    leaveWithReader()
    setInterval(() => console.log('line'), 1)`
  const pipeline = '"$0" --input-type=module --eval "$1" | $2; echo "left with $PIPESTATUS" >&2'
  const words = ['-c', pipeline, process.execPath, program, reader]
  return spawnSync('bash', words, { encoding: 'utf8', timeout: 20_000 })
}

test('whose reader has gone leaves without a word, as after SIGPIPE', () => {
  const { stdout, stderr } = printInto('head -1', '')
  assert.deepEqual([stdout, stderr], ['line\n', 'left with 141\n'])
})

test('who has something to tidy up does so as after ctrl-C', () => {
  const tidy = `process.once('SIGINT', () => { console.error('tidied up'); process.exit(1) })`
  assert.equal(printInto('head -1', tidy).stderr, 'tidied up\nleft with 1\n')
})

for (const [name, words] of [
  ['sallyport', 'cli/main.ts version'],
  ['yq in a lab', 'lab/programs/yq.ts'],
] as const)
  test(`${name} leaves so`, () => {
    const pipeline = `echo 'a: 1' | "$0" ../${words} | true`
    const options = { cwd: import.meta.dirname, encoding: 'utf8' } as const
    assert.equal(spawnSync('bash', ['-c', pipeline, process.execPath], options).stderr, '')
  })
