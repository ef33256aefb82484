import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Command } from 'commander'
import { labCommand } from './command.ts'
import type { LabState } from './lab-state.ts'
import { unfinishedLab } from './lab-state.ts'
import { identify } from './machines/machine.ts'

/** The lab's commands, which throw an error instead of ending the process. */
function quietLab(): Command {
  const lab = labCommand()
  for (const command of [lab, ...lab.commands])
    command.exitOverride().configureOutput({ writeOut: () => {}, writeErr: () => {} })
  return lab
}

describe('sallyport lab', () => {
  for (const verb of ['down', 'list', 'status', 'shell', 'exec true', 'up', 'demo'])
    test(`${verb} refuses to run for any user but root`, async (context) => {
      context.mock.method(process as { getuid: () => number }, 'getuid', () => 1000)
      await assert.rejects(quietLab().parseAsync(verb.split(' '), { from: 'user' }), {
        message: 'only root can use labs, because they are network namespaces: run the command with sudo',
      })
    })

  test('status refuses an unknown output format', async () => {
    const words = ['status', '--output', 'yaml']
    await assert.rejects(quietLab().parseAsync(words, { from: 'user' }), /'yaml' is invalid.*json/)
  })
})

test('the error about an incomplete lab says whether it is still starting', () => {
  const lab = { name: 'mine', startedBy: identify(process.pid) } as LabState
  assert.equal(unfinishedLab(lab), 'the lab mine is still starting')
  assert.equal(
    unfinishedLab({ ...lab, startedBy: { pid: process.pid, startedAt: 'an earlier process' } }),
    'the lab mine started only partly: remove it with "sallyport lab down --name mine"',
  )
})
