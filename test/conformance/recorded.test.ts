import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { playEmbedded } from './player/embedded.ts'
import { givens } from './player/given.ts'
import { readListed } from './player/listed.ts'
import { recordedVersion } from './player/recording.ts'

/*
 * Every request of the recordings, asked of the embedded API server. Its answer is the recorded one, or the request is listed in
 * recorded/listed/ with a reason. A listed request that is answered as recorded fails too: the list tells what differs, no more.
 */

describe(`the embedded API server answers as ${recordedVersion} does`, { concurrency: false }, () => {
  for (const file of Object.keys(givens))
    test(file, { timeout: 120_000 }, async (context) => {
      const groups = readListed(file)
      const listed = new Set(groups.flatMap(({ entries }) => entries))
      const constant = groups.filter(({ varies }) => !varies).flatMap(({ entries }) => entries)
      const played = await playEmbedded(file)
      const different = played.filter(({ differences }) => differences.length > 0)
      context.diagnostic(
        `${file}: ${played.length - different.length} of ${played.length} answers equal, ${listed.size} listed with a reason`,
      )
      const unlisted = different.filter(({ entry }) => !listed.has(entry.name))
      assert.deepEqual(
        Object.fromEntries(unlisted.map(({ entry, differences }) => [entry.name, differences])),
        {},
        'mend these, or list each with the reason why the difference hides no fault',
      )
      const isDifferent = new Set(different.map(({ entry }) => entry.name))
      assert.deepEqual(
        constant.filter((name) => !isDifferent.has(name)),
        [],
        'no longer different: remove them from the list',
      )
    })
})
