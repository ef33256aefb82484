/**
 * `make dist`: all that a release offers besides the image. The command for npm and as one file for each processor, the chart if
 * `make chart` has packed it, the list of what is inside, and checksums of all of these.
 */
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { version } from '../src/api/version.ts'
import { listMaterials } from './bill-of-materials.ts'
import { bundleCommand, repository } from './bundle.ts'
import { type Architecture, makeExecutable, nodeFor } from './executable.ts'
import { packForNpm } from './npm-package.ts'

const print = (line: string): void => void process.stdout.write(`${line}\n`)

const usualFolder = join(repository, 'build/dist')
const { values: options } = parseArgs({
  options: {
    into: { type: 'string', default: usualFolder },
    architectures: { type: 'string', default: 'x64,arm64' },
  },
})
const folder = options.into

if (folder !== usualFolder && existsSync(folder)) throw new Error(`${folder} exists: name a new folder`)
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
print('making the npm package')
const bundle = await bundleCommand()
packForNpm(bundle, folder)
for (const architecture of options.architectures.split(',')) addExecutable(architecture as Architecture)
addChart()
print('listing materials and checksums')
writeFileSync(join(folder, `sallyport-${version}.cdx.json`), listMaterials())
const names = readdirSync(folder).sort()
writeFileSync(join(folder, 'SHA256SUMS'), names.map((name) => `${checksum(name)}  ${name}\n`).join(''))
for (const name of [...names, 'SHA256SUMS'])
  print(
    `${String(Math.ceil(statSync(join(folder, name)).size / 1000)).padStart(8)} kB  ${join(folder, name)}`,
  )

function addExecutable(architecture: Architecture): void {
  const name = `sallyport-linux-${architecture}`
  const parts = join(folder, '.parts')
  print(`making ${name}${architecture === process.arch ? '' : ', with a Node.js from npm'}`)
  const node = nodeFor(architecture, parts)
  if (node === undefined || !existsSync(node))
    print(
      `${name}: left out, because npm brings no package node-linux-${architecture} of the version in package-lock.json`,
    )
  else makeExecutable(bundle, node, join(folder, name))
  rmSync(parts, { recursive: true, force: true })
}

function addChart(): void {
  const chart = join(repository, `build/sallyport-${version}.tgz`)
  if (existsSync(chart)) copyFileSync(chart, join(folder, `sallyport-chart-${version}.tgz`))
  else print(`the chart: left out, because ${chart} does not exist; "make chart" packs it`)
}

function checksum(name: string): string {
  return createHash('sha256')
    .update(readFileSync(join(folder, name)))
    .digest('hex')
}
