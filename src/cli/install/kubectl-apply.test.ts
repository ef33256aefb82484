import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { kubectlMissing, RunningServer } from '../../lab/apiserver/http/running-server.ts'

const deploy = join(import.meta.dirname, '../../../deploy')

describe('deploy/ by the real kubectl', { skip: kubectlMissing, timeout: 120_000 }, () => {
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

  test('server-side apply after a client-side one meets no conflict, and the other way round', async () => {
    await kubectl(`apply -k ${deploy}`)
    await kubectl(`apply -k ${deploy} --server-side`)
    await kubectl(`apply -k ${deploy} --server-side --field-manager=gitops`)
    const again = await kubectl(`apply -k ${deploy}`)
    /* kubectl replaces the selector of a PodDisruptionBudget each time, also when it is the same. */
    const changed = again
      .split('\n')
      .filter((line) => / configured$/.test(line) && !line.startsWith('poddisruptionbudget'))
    assert.deepEqual(changed, [])
  })

  test('nothing differs once it is applied', async () => {
    await kubectl(`diff -k ${deploy}`)
    await kubectl(`diff -k ${deploy} --server-side --field-manager=gitops`)
  })
})
