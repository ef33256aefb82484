import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

const tools = [
  ['ip', 'iproute2'],
  ['nsenter', 'util-linux'],
  ['unshare', 'util-linux'],
  ['script', 'bsdutils'],
  ['openssl', 'openssl'],
  ['curl', 'curl'],
] as const

/** What keeps a lab from starting here, one sentence each with the remedy; empty when nothing does. */
export function missingForLab(): string[] {
  const missing: string[] = []
  if (process.getuid?.() !== 0)
    missing.push('the lab makes network namespaces, which only root may: run it with sudo')
  for (const [tool, package_] of tools)
    if (spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0)
      missing.push(`${tool} is missing: apt-get install ${package_}`)
  if (!readFileSync('/proc/filesystems', 'utf8').includes('\toverlay\n'))
    missing.push(
      'the kernel has no overlay file system, which nodes need for an /etc of their own: modprobe overlay',
    )
  return missing
}
