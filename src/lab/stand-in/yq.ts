import { readFileSync } from 'node:fs'
import { parseAllDocuments } from 'yaml'
import { leaveWithReader } from '../../runtime/closed-pipe.ts'

leaveWithReader()

/** What the walkthrough asks of yq: YAML in, the same YAML out, in its canonical form. */
const [filter = '.', ...rest] = process.argv.slice(2)
if (filter !== '.' || rest.length > 0) {
  process.stderr.write(
    'yq: this is the lab’s stand-in, which prints YAML as it is and has no filters. To have yq: https://github.com/mikefarah/yq\n',
  )
  process.exit(1)
}
for (const [index, document] of parseAllDocuments(readFileSync(0, 'utf8')).entries()) {
  const [error] = document.errors
  if (error !== undefined) {
    process.stderr.write(`yq: ${error.message}\n`)
    process.exit(1)
  }
  process.stdout.write(`${index > 0 ? '---\n' : ''}${document.toString({ indentSeq: true, lineWidth: 0 })}`)
}
