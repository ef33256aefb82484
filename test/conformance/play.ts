import { playEmbedded } from './player/embedded.ts'
import { givens } from './player/given.ts'
import { readListed } from './player/listed.ts'

/*
 * node test/conformance/play.ts [FILE…]: where the embedded API server's answers differ from the recorded ones, apart from what
 * recorded/listed/ names.
 */
const files = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(givens)
for (const file of files) {
  const listed = new Set(readListed(file).flatMap(({ entries }) => entries))
  const played = await playEmbedded(file)
  const different = played.filter(({ differences }) => differences.length > 0)
  for (const { entry, differences } of different.filter(({ entry: { name } }) => !listed.has(name)))
    console.log(`${file}: ${entry.name}\n${differences.map((line) => `  ${line}\n`).join('')}`)
  console.log(`${file}: ${played.length - different.length} of ${played.length} equal, ${listed.size} listed`)
}
