import assert from 'node:assert/strict'
import { dirname } from 'node:path'
import { describe, test } from 'node:test'
import { labPaths, labsDirectory } from './layout.ts'

describe('a lab’s name', () => {
  for (const name of ['lab', 'demo-4711', '0', 'x'.repeat(32)])
    test(`${name} has a folder of its own`, () =>
      assert.equal(dirname(labPaths(name).directory), labsDirectory))

  for (const name of ['', '.', '..', '../labs', 'a/b', '/etc', '-x', 'Lab', 'a b', 'x'.repeat(33)])
    test(`${JSON.stringify(name)} is refused as the name of a lab, because "lab down" deletes the folder of that name`, () =>
      assert.throws(() => labPaths(name), /is not a valid name for a lab: use up to 32/))
})
