import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Command } from 'commander'
import { labCommand } from './command.ts'
import type { LabState } from './lab-state.ts'
import { unfinishedLab } from './lab-state.ts'
import { identify } from './machine.ts'

/** Throws instead of ending the process. */
function quietLab(): Command {
  const lab = labCommand()
  for (const command of [lab, ...lab.commands])
    command.exitOverride().configureOutput({ writeOut: () => {}, writeErr: () => {} })
  return lab
}

describe('sallyport lab', () => {
  for (const verb of ['down', 'list', 'status', 'shell', 'exec true', 'up', 'demo'])
    test(`${verb}, by an ordinary user, does nothing and says that labs are root’s`, async (context) => {
      context.mock.method(process as { getuid: () => number }, 'getuid', () => 1000)
      await assert.rejects(quietLab().parseAsync(verb.split(' '), { from: 'user' }), {
        message: 'labs are network namespaces, which only root may make and enter: run it with sudo',
      })
    })

  test('status in a format that it does not have is refused', async () => {
    const words = ['status', '--output', 'yaml']
    await assert.rejects(quietLab().parseAsync(words, { from: 'user' }), /'yaml' is invalid.*json/)
  })
})

test('a lab that is not complete is being started, or its start was cut short', () => {
  const lab = { name: 'mine', startedBy: identify(process.pid) } as LabState
  assert.equal(unfinishedLab(lab), 'the lab mine is being started at this moment')
  assert.equal(
    unfinishedLab({ ...lab, startedBy: { pid: process.pid, startedAt: 'an earlier process' } }),
    'the lab mine was only half started: "sallyport lab down --name mine" takes it away',
  )
})
