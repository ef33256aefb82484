import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { UserError } from '../user-error.ts'
import { readSettings } from './install.ts'

const directory = mkdtempSync(join(tmpdir(), 'sallyport-values-'))
after(() => rmSync(directory, { recursive: true }))
const path = join(directory, 'values.yaml')

/** The settings of a file, or the error about it. */
async function read(text: string): Promise<Readonly<Record<string, string>> | string> {
  writeFileSync(path, text)
  try {
    return await readSettings({ values: path, set: [], setJson: [] })
  } catch (error) {
    assert.ok(error instanceof UserError && error.exitCode === 2)
    return error.message.replace(path, 'FILE').split('\n')[0] ?? ''
  }
}

describe('a values file', () => {
  for (const [name, text, expected] of [
    ['nests settings as their paths do', 'egressGateway:\n  enabled: true', { 'enable-ipv4-egress-gateway': 'true' }],
    ['may have dots in its keys', 'egressGateway.enabled: false', { 'enable-ipv4-egress-gateway': 'false' }],
    ['with only comments sets nothing', '# mtu: 1400\n', {}],
    ['that is empty sets nothing', '', {}],
    ['ignores a key without a value', 'devices:\ncni:\nmtu: 1400', { mtu: '1400' }],
    ['accepts lists', 'devices: [eth+, net0]', { devices: 'eth+,net0' }],
    ['accepts lists as text', 'stackCIDRs: 10.96.0.0/12,fd00::/108', { 'stack-cidrs': '10.96.0.0/12,fd00::/108' }],
    ['accepts values with an equals sign', 'image: {repository: a=b}', { 'image-repository': 'a=b' }],
    ['keeps a number as it is written', 'image: {tag: 1.10}', { 'image-tag': '1.10' }],
    ['may use one anchor for two settings', 'image: {repository: &name x, tag: *name}', { 'image-repository': 'x', 'image-tag': 'x' }],
    ['with an unknown setting is refused, even without a value', 'devcies:\n', 'unknown setting devcies: did you mean devices?'],
    ['that is a list is refused', '- mtu', 'FILE has no settings. Write one per line, for example "mtu: 1400"'],
    ['that is not YAML is refused, with the line', 'mtu: [1', /^FILE is not valid YAML: .* at line 1/],
  ] as const) // biome-ignore format: a table
    test(name, async () => {
      const answer = await read(text)
      if (expected instanceof RegExp) assert.match(String(answer), expected)
      else assert.deepEqual(answer, expected)
    })

  test('that does not exist is named', async () => {
    await assert.rejects(
      readSettings({ values: join(directory, 'none.yaml'), set: [], setJson: [] }),
      /cannot read .*none\.yaml: ENOENT/,
    )
  })

  test('yields to --set', async () => {
    writeFileSync(path, 'mtu: 1400')
    assert.deepEqual(await readSettings({ values: path, set: ['mtu=1300'], setJson: [] }), { mtu: '1300' })
  })
})
