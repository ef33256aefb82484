import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { buildProgram } from '../program.ts'
import { complete, directives, formatCompletion } from './candidates.ts'

const program = await buildProgram('sallyport', undefined)
const lab = await buildProgram('sallyport', 'lab')

const values = (line: string): readonly string[] =>
  complete(line.startsWith('lab ') ? lab : program, line.split(' ')).candidates.map(({ value }) => value)

const cases = [
  { name: 'a command is completed by its beginning', line: 'up', expect: ['upgrade'] },
  { name: 'a command has its commands', line: 'bpf egress ', expect: ['list', 'help'] },
  { name: 'an alias leads to the same command', line: 'monitor --out', expect: ['--output'] },
  { name: 'an option has its choices', line: 'status -o ', expect: ['json'] },
  { name: 'an option with "=" has its choices', line: 'status --output=', expect: ['--output=json'] },
  { name: 'an argument has its choices', line: 'completion ', expect: ['bash', 'zsh', 'fish'] },
  { name: 'an argument that is there is not offered again', line: 'completion bash ', expect: [] },
  { name: 'options of other commands are not offered', line: 'status --s', expect: [] },
  {
    name: "an option's value is not taken for a command",
    line: 'install --set status --to',
    expect: ['--to'],
  },
  {
    name: 'a setting has the values that it may have',
    line: 'install --set cni.chainingMode=',
    expect: ['cni.chainingMode=none', 'cni.chainingMode=generic-veth'],
  },
  {
    name: 'a setting that is on or off has both values',
    line: 'install --set egressGateway.enabled=',
    expect: ['egressGateway.enabled=true', 'egressGateway.enabled=false'],
  },
  {
    name: 'a setting without choices shows its default',
    line: 'install --set cni.binPath=',
    expect: ['cni.binPath=/opt/cni/bin'],
  },
  { name: 'a map is set by --set-json', line: 'install --set-json nodeSel', expect: ['nodeSelector='] },
  { name: 'a map is not set by --set', line: 'install --set nodeSel', expect: [] },
  { name: 'the lab completes its commands and choices', line: 'lab up --controllers l', expect: ['lab'] },
  { name: "words after -- are another program's", line: 'lab exec -- kubectl ', expect: [] },
]

for (const { name, line, expect } of cases) test(name, () => assert.deepEqual(values(line), expect))

describe('the directive tells the shell', () => {
  for (const { name, line, directive } of [
    { name: 'to complete files', line: 'install -f ', directive: directives.default },
    { name: 'to complete folders', line: 'install --to ', directive: directives.folders },
    {
      name: 'to add no space after "="',
      line: 'install --set l7',
      directive: directives.noSpace | directives.noFiles,
    },
    { name: 'to complete no files in place of a command', line: '', directive: directives.noFiles },
  ])
    test(name, () => assert.equal(complete(program, line.split(' ')).directive, directive))
})

test('an answer has a candidate a line, its description after a tab, and the directive last', () => {
  const candidates = [{ value: 'up', description: 'starts\nit' }, { value: 'down' }]
  assert.equal(formatCompletion({ candidates, directive: 4 }), 'up\tstarts it\ndown\n:4')
})

test('every option that takes a value has choices, values of its own, or is known to be free text', () => {
  const free = ['--wait-duration']
  const unknown = program.commands.flatMap((command) =>
    command.options
      .filter(
        ({ required, long, argChoices }) =>
          required && argChoices === undefined && !free.includes(long ?? ''),
      )
      .filter(({ long }) => {
        const { candidates, directive } = complete(program, [command.name(), long ?? '', ''])
        return candidates.length === 0 && directive === directives.noFiles
      })
      .map(({ flags }) => `${command.name()} ${flags}`),
  )
  assert.deepEqual(unknown, [], 'say in completion/values.ts what it completes')
})
