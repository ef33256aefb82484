import { globSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { debianLeftOut } from './contents.ts'
import { run } from './run.ts'

/**
 * Unpacks Debian packages and their dependencies into a folder. No script of a package runs, so the result depends on the packages only.
 * They come from the package sources of this machine.
 */
export function layOutDebian(root: string, packages: readonly string[]): void {
  mkdirSync(root, { recursive: true })
  run('mmdebstrap', [
    '--quiet',
    '--mode=root',
    '--variant=extract',
    '--format=directory',
    '--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr',
    `--include=${packages.join(',')}`,
    `--extract-hook=for deb in "$1"/var/cache/apt/archives/*.deb; do dpkg-deb --field "$deb"; echo; done >"$1/packages"`,
    release(),
    root,
    ...sourceLists(),
  ])
  const installed = readFileSync(join(root, 'packages'), 'utf8')
  rmSync(join(root, 'packages'))
  for (const path of globSync([...debianLeftOut], { cwd: root }))
    rmSync(join(root, path), { recursive: true, force: true })
  /* Without setuid bits, no file in a container makes a user root. */
  run('find', [root, '-type', 'f', '-perm', '/6000', '-exec', 'chmod', 'a-s', '{}', '+'])
  writeDatabase(root, installed)
  for (const file of ['passwd', 'group'])
    writeFileSync(
      join(root, 'etc', file),
      readFileSync(join(root, `usr/share/base-passwd/${file}.master`), 'utf8').replaceAll(':*:', ':x:'),
    )
  /* Mount points for container runtimes. */
  for (const folder of ['dev', 'proc', 'sys', 'run', 'tmp']) mkdirSync(join(root, folder), { recursive: true })
  /* The links that the script of base-files would create. Programs use both paths, for example /var/run/netns. */
  for (const [link, target] of [
    ['var/run', '/run'],
    ['var/lock', '/run/lock'],
  ] as const) {
    rmSync(join(root, link), { recursive: true, force: true })
    symlinkSync(target, join(root, link))
  }
}

/** Writes the list of packages, for vulnerability scanners. */
function writeDatabase(root: string, installed: string): void {
  const database = join(root, 'var/lib/dpkg')
  rmSync(database, { recursive: true, force: true })
  mkdirSync(database, { recursive: true })
  const stanzas = installed.trim().split(/\n\n+/).sort()
  const marked = stanzas.map((stanza) => stanza.replace(/^(Package: .*)$/m, '$1\nStatus: install ok installed'))
  writeFileSync(join(database, 'status'), `${marked.join('\n\n')}\n`)
}

function release(): string {
  const name = /^VERSION_CODENAME=(.+)$/m.exec(readFileSync('/etc/os-release', 'utf8'))?.[1]
  if (name === undefined) throw new Error('the image can only be built on Debian: /etc/os-release has no VERSION_CODENAME')
  return name
}

function sourceLists(): readonly string[] {
  const lists = globSync(['/etc/apt/sources.list', '/etc/apt/sources.list.d/*.{list,sources}'])
  return lists.filter((path) => /debian/.test(readFileSync(path, 'utf8')))
}
