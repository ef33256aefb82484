import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { kubectlMissing, RunningServer } from '../../../test/support/running-server.ts'

const deploy = join(import.meta.dirname, '../../../deploy')

describe('the real kubectl with deploy/', { skip: kubectlMissing, timeout: 120_000 }, () => {
  let server: RunningServer
  before(async () => {
    server = await RunningServer.open()
  })
  after(() => server[Symbol.asyncDispose]())
  const kubectl = async (words: string): Promise<string> => {
    const { code, stdout, stderr } = await server.kubectl(words)
    assert.equal(code, 0, `kubectl ${words}: ${stderr}`)
    assert.equal(stderr, '', 'no warning')
    return stdout
  }

  test('applies it client-side and server-side in turn without a conflict', async () => {
    await kubectl(`apply -k ${deploy}`)
    await kubectl(`apply -k ${deploy} --server-side`)
    await kubectl(`apply -k ${deploy} --server-side --field-manager=gitops`)
    const again = await kubectl(`apply -k ${deploy}`)
    /* kubectl replaces the selector of a PodDisruptionBudget each time, even if it is the same. */
    const changed = again
      .split('\n')
      .filter((line) => / configured$/.test(line) && !line.startsWith('poddisruptionbudget'))
    assert.deepEqual(changed, [])
  })

  test('finds no difference after it has been applied', async () => {
    await kubectl(`diff -k ${deploy}`)
    await kubectl(`diff -k ${deploy} --server-side --field-manager=gitops`)
  })
})
