import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { readAccess } from '../../src/cli/cluster.ts'
import { givens } from './player/given.ts'
import { record } from './player/record.ts'
import { writeRecording } from './player/recording.ts'
import { Target } from './player/target.ts'

const usage = `node test/conformance/record.ts --kubeconfig FILE [--to FOLDER] [RECORDING…]

Sends the requests of the recordings to the cluster of a kubeconfig, and writes its answers in the same form.
The cluster must be one that you can spare: the requests make and delete CustomResourceDefinitions of
Sallyport, nodes, namespaces and workloads. Nothing of Sallyport may be installed in it.

  --kubeconfig FILE   the cluster, as its administrator
  --to FOLDER         where the answers go (default: recorded-answers)
  RECORDING           ${Object.keys(givens).join(', ')} (default: all)
`
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kubeconfig: { type: 'string' },
    to: { type: 'string', default: 'recorded-answers' },
    help: { type: 'boolean', short: 'h', default: false },
  },
})
const unknown = positionals.filter((file) => givens[file] === undefined)
if (values.help || values.kubeconfig === undefined || unknown.length > 0) {
  if (unknown.length > 0) console.error(`there is no recording ${unknown.join(', ')}\n`)
  console.error(usage)
  process.exit(values.help ? 0 : 2)
}
const target = new Target(await readAccess(values.kubeconfig))
mkdirSync(values.to, { recursive: true })
for (const file of positionals.length > 0 ? positionals : Object.keys(givens)) {
  const entries = await record(target, file)
  const path = join(values.to, `${file}.json`)
  writeRecording(path, entries)
  console.log(`${path}: ${entries.length} answers`)
}
