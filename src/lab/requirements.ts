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

const oldestKubectlMinor = 30

/** Why the machine's kubectl cannot be used here; undefined when it can. The lab then stands in for it. */
export function kubectlProblem(): string | undefined {
  if (process.env.SALLYPORT_LAB_KUBECTL === 'stand-in') return 'the stand-in was asked for'
  const { status, stdout } = spawnSync('kubectl', ['version', '--client', '-o', 'json'], { encoding: 'utf8' })
  if (status !== 0) return 'kubectl is not here'
  const { minor = '0' } = (JSON.parse(stdout) as { clientVersion?: { minor?: string } }).clientVersion ?? {}
  if (Number.parseInt(minor, 10) >= oldestKubectlMinor) return undefined
  return `kubectl is 1.${minor}, and 1.${oldestKubectlMinor} or later is needed`
}

/** There are two tools of this name; the walkthrough means the one that prints YAML. */
export function hasYamlYq(): boolean {
  const { status, stdout } = spawnSync('yq', ['--version'], { encoding: 'utf8' })
  return status === 0 && stdout.includes('mikefarah')
}
