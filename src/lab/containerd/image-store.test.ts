import assert from 'node:assert/strict'
import { test } from 'node:test'
import { leftovers } from './image-store.ts'

test('a store that another lab is making now is no leftover', () => {
  const entries = ['1234abcd', '5678ef00.unfinished-17', '5678ef00.unfinished-18']
  assert.deepEqual(
    leftovers(entries, (pid) => pid === 17),
    ['1234abcd', '5678ef00.unfinished-18'],
  )
})
