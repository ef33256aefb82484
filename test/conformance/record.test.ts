import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { playEmbedded, withEmbedded } from './player/embedded.ts'
import { record } from './player/record.ts'
import { type Entry, writeRecording } from './player/recording.ts'
import type { Target } from './player/target.ts'

/** What a cluster has from its beginning. */
const builtIn = /^(default|kube-.*)$/
const kept = [
  '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
  '/api/v1/nodes',
  '/api/v1/namespaces',
]

async function leftOvers(target: Target): Promise<readonly string[]> {
  const lists = await Promise.all(kept.map(async (path) => (await target.admin('GET', path)).body))
  return lists
    .flatMap((body) => (body as { items: readonly { metadata: { name: string } }[] }).items)
    .map(({ metadata }) => metadata.name)
    .filter((name) => !builtIn.test(name))
}

test('what is recorded of an API server is what it answers the next time, and nothing is left in it', {
  timeout: 120_000,
}, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'recorded-'))
  try {
    const path = join(folder, 'answers.json')
    const left = await withEmbedded('rights', async (target) => {
      writeRecording(path, await record(target, 'rights'))
      return leftOvers(target)
    })
    assert.deepEqual(left, [])
    const text = readFileSync(path, 'utf8')
    for (const placeholder of ['<uid-1>', '<rv-1>', '<time>'])
      assert.ok(text.includes(placeholder), placeholder)
    const played = await playEmbedded('rights', JSON.parse(text) as Entry[])
    const different = played.filter(({ differences }) => differences.length > 0)
    assert.deepEqual(
      different.map(({ entry, differences }) => [entry.name, differences]),
      [],
    )
  } finally {
    rmSync(folder, { recursive: true })
  }
})
