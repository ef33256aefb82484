import { readFileSync } from 'node:fs'
import { parseAllDocuments } from 'yaml'
import { leaveWithReader } from '../../runtime/closed-pipe.ts'

leaveWithReader()

/**
 * The yq of a lab on a machine without one. Debian's package of that name is another tool. The walkthrough uses yq only to print YAML in
 * its canonical form.
 */
const [filter = '.', ...rest] = process.argv.slice(2)
if (filter !== '.' || rest.length > 0) {
  process.stderr.write(
    'yq: the lab’s own yq only prints YAML in its canonical form. For filters, install yq from https://github.com/mikefarah/yq\n',
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
