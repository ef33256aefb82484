/**
 * `make dist`: builds everything of a release except for the image. These are the npm package, an executable for each processor, the
 * chart if `make chart` has packed it, the SBOM, and the checksums of all files.
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

const defaultFolder = join(repository, 'build/dist')
const { values: options } = parseArgs({
  options: {
    into: { type: 'string', default: defaultFolder },
    architectures: { type: 'string', default: 'x64,arm64' },
  },
})
const folder = options.into

if (folder !== defaultFolder && existsSync(folder))
  throw new Error(`--into: ${folder} already exists: name a new folder`)
rmSync(folder, { recursive: true, force: true })
mkdirSync(folder, { recursive: true })
print('building the npm package')
const bundle = await bundleCommand()
packForNpm(bundle, folder)
for (const architecture of options.architectures.split(',')) addExecutable(architecture as Architecture)
addChart()
print('writing the SBOM and the checksums')
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
  print(`building ${name}${architecture === process.arch ? '' : ', with Node.js from npm'}`)
  const node = nodeFor(architecture, parts)
  if (node === undefined || !existsSync(node))
    print(
      `${name}: skipped, because npm has no package node-linux-${architecture} of the version in package-lock.json`,
    )
  else makeExecutable(bundle, node, join(folder, name))
  rmSync(parts, { recursive: true, force: true })
}

function addChart(): void {
  const chart = join(repository, `build/sallyport-${version}.tgz`)
  if (existsSync(chart)) copyFileSync(chart, join(folder, `sallyport-chart-${version}.tgz`))
  else print(`chart: skipped, because ${chart} does not exist: run "make chart"`)
}

function checksum(name: string): string {
  return createHash('sha256')
    .update(readFileSync(join(folder, name)))
    .digest('hex')
}
