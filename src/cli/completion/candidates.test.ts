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
  { name: 'a command offers its subcommands', line: 'bpf egress ', expect: ['list', 'help'] },
  { name: 'an alias offers the same options as its command', line: 'monitor --out', expect: ['--output'] },
  { name: 'an option offers its choices', line: 'status -o ', expect: ['json'] },
  { name: 'an option with "=" offers its choices', line: 'status --output=', expect: ['--output=json'] },
  { name: 'flows offers the states of flows', line: 'flows --state e', expect: ['established'] },
  {
    name: 'flows offers the orders of --top',
    line: 'flows --top ',
    expect: ['bytes', 'packets', 'connections'],
  },
  { name: 'explain offers the protocols', line: 'explain pod/x --protocol ', expect: ['tcp', 'udp', 'icmp'] },
  { name: 'a destination is not completed', line: 'explain pod/x --to ', expect: [] },
  { name: 'what commands run in an agent’s pod is not offered', line: 'ask', expect: [] },
  { name: 'an argument offers its choices', line: 'completion ', expect: ['bash', 'zsh', 'fish'] },
  { name: 'an argument that is already given is not offered again', line: 'completion bash ', expect: [] },
  { name: 'options of other commands are not offered', line: 'status --s', expect: [] },
  {
    name: "an option's value is not taken for a command",
    line: 'install --set status --to',
    expect: ['--to'],
  },
  {
    name: 'a setting offers its choices',
    line: 'install --set cni.chainingMode=',
    expect: ['cni.chainingMode=none', 'cni.chainingMode=generic-veth'],
  },
  {
    name: 'a boolean setting offers true and false',
    line: 'install --set egressGateway.enabled=',
    expect: ['egressGateway.enabled=true', 'egressGateway.enabled=false'],
  },
  {
    name: 'a setting without choices offers its default',
    line: 'install --set cni.binPath=',
    expect: ['cni.binPath=/opt/cni/bin'],
  },
  { name: '--set-json offers maps', line: 'install --set-json nodeSel', expect: ['nodeSelector='] },
  { name: '--set does not offer maps', line: 'install --set nodeSel', expect: [] },
  { name: 'the lab offers its commands and choices', line: 'lab up --controllers l', expect: ['lab'] },
  { name: 'words after -- are not completed', line: 'lab exec -- kubectl ', expect: [] },
]

for (const { name, line, expect } of cases) test(name, () => assert.deepEqual(values(line), expect))

describe('the directive tells a shell', () => {
  for (const { name, line, directive } of [
    { name: 'to complete files', line: 'install -f ', directive: directives.default },
    { name: 'to complete files of policies', line: 'explain pod/x -f ', directive: directives.default },
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

test('a completion has one candidate per line, its description after a tab, and the directive last', () => {
  const candidates = [{ value: 'up', description: 'starts\nit' }, { value: 'down' }]
  assert.equal(formatCompletion({ candidates, directive: 4 }), 'up\tstarts it\ndown\n:4')
})

test('every option that takes a value has completions, or is listed as free text', () => {
  const free = [
    '--wait-duration',
    '--wait',
    '--namespace',
    '--pod',
    '--policy',
    '--node',
    '--egress-ip',
    '--limit',
    '--at',
    '--body',
    '--port',
  ]
  const unknown = program.commands.flatMap((command) =>
    command.options
      .filter(
        ({ required, long, flags, argChoices }) =>
          required && argChoices === undefined && !free.includes(long ?? '') && !flags.endsWith('<address>'),
      )
      .filter(({ long }) => {
        const { candidates, directive } = complete(program, [command.name(), long ?? '', ''])
        return candidates.length === 0 && directive === directives.noFiles
      })
      .map(({ flags }) => `${command.name()} ${flags}`),
  )
  assert.deepEqual(unknown, [], 'add the completions to completion/values.ts')
})
