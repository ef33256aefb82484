import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { version } from '../src/api/version.ts'
import { type Bundle, repository } from './bundle.ts'
import { collectLicenses } from './licenses.ts'
import { run } from './run.ts'

/** Every version of Node.js can run this file, so that an old one prints what to do. */
const start = `#!/usr/bin/env node
'use strict'
if (parseInt(process.versions.node, 10) < 24) {
  process.stderr.write(
    'sallyport: Node.js ' + process.versions.node + ' is too old, and 24 or later is needed: install it, or use the sallyport executable, which contains Node.js\\n'
  )
  process.exitCode = 1
} else require('../lib/sallyport.cjs')
`

/** The program knows by which of these names it was started. */
const links = ['kubectl-sallyport', 'kubectl_complete-sallyport']

const readme = `# sallyport

The command line of Sallyport, an egress gateway for Kubernetes. Pods leave the cluster from IP addresses that you choose, and open
connections survive the failure of a gateway.

    sallyport preflight     check whether Sallyport can be installed
    sallyport install       install Sallyport in the cluster of your kubeconfig
    sallyport status        show the state of the install, and what is wrong

\`kubectl sallyport\` runs the same command. \`sallyport completion --help\` explains how to enable completion in your shell. The package
needs Node.js 24 or later.
`

/** Packs the command for npm. Returns the archive's path. */
export function packForNpm({ code, packages }: Bundle, folder: string): string {
  const root = join(folder, '.npm-package')
  for (const each of ['bin', 'lib']) mkdirSync(join(root, each), { recursive: true })
  const files: Readonly<Record<string, string>> = {
    'package.json': `${JSON.stringify(manifest(), null, 2)}\n`,
    'README.md': readme,
    'LICENSES.txt': collectLicenses(packages),
    'lib/sallyport.cjs': code,
    'bin/sallyport.js': start,
    ...Object.fromEntries(
      links.map((name) => [`bin/${name}.js`, "#!/usr/bin/env node\nrequire('./sallyport.js')\n"]),
    ),
  }
  for (const [path, content] of Object.entries(files))
    writeFileSync(join(root, path), content, { mode: path.startsWith('bin/') ? 0o755 : 0o644 })
  run('npm', ['pack', '--silent', '--pack-destination', folder, root])
  rmSync(root, { recursive: true })
  // The archive of the chart has the name that npm chooses, so this one is renamed.
  const archive = join(folder, `sallyport-npm-${version}.tgz`)
  renameSync(join(folder, `sallyport-${version}.tgz`), archive)
  return archive
}

function manifest(): unknown {
  const ours = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8')) as Record<string, unknown>
  const { name, description, license, engines } = ours
  const bin = Object.fromEntries(['sallyport', ...links].map((each) => [each, `bin/${each}.js`]))
  return { name, version, description, license, engines, bin, files: ['bin', 'lib', 'LICENSES.txt'] }
}
