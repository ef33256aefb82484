import { spawnSync } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { kubectlProblem } from './client-tools.ts'
import { missingImages } from './containerd/image-store.ts'

const tools = [
  ['ip', 'iproute2'],
  ['nsenter', 'util-linux'],
  ['unshare', 'util-linux'],
  ['script', 'bsdutils'],
  ['openssl', 'openssl'],
  ['curl', 'curl'],
] as const

/** Why this user can do nothing with labs, not even see them; undefined for root. */
export function rootProblem(): string | undefined {
  return process.getuid?.() === 0
    ? undefined
    : 'labs are network namespaces, which only root may make and enter: run it with sudo'
}

/** What keeps a lab from starting here, one sentence each with the remedy; empty when nothing does. */
export function missingForLab(): string[] {
  const missing: string[] = []
  const problem = rootProblem()
  if (problem !== undefined) missing.push(problem)
  for (const [tool, package_] of tools)
    if (!isOnPath(tool)) missing.push(`${tool} is missing: apt-get install ${package_}`)
  if (!readFileSync('/proc/filesystems', 'utf8').includes('\toverlay\n'))
    missing.push(
      'the kernel has no overlay file system, which nodes need for an /etc of their own: modprobe overlay',
    )
  const withoutKubectl = kubectlProblem()
  if (withoutKubectl !== undefined) missing.push(withoutKubectl)
  return missing
}

const runtimeTools = [
  ['containerd', 'containerd'],
  ['ctr', 'containerd'],
  ['containerd-shim-runc-v2', 'containerd'],
  ['runc', 'runc'],
] as const

/** What nodes with a container runtime need besides. */
export function missingForContainerd(): string[] {
  const missing = runtimeTools
    .filter(([tool]) => !isOnPath(tool))
    .map(([tool, package_]) => `${tool} is missing: apt-get install ${package_}`)
  const images = missingImages()
  const client = hasModule('@grpc/grpc-js') ? [] : ['the npm package @grpc/grpc-js is missing: ./setup']
  return [...missing, ...client, ...(images === undefined ? [] : [images])]
}

/** Packages of development are not everywhere where a lab is. */
function hasModule(name: string): boolean {
  try {
    import.meta.resolve(name)
    return true
  } catch {
    return false
  }
}

function isOnPath(tool: string): boolean {
  return (process.env.PATH ?? '').split(delimiter).some((directory) => {
    try {
      accessSync(join(directory, tool), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** There are two tools of this name; the walkthrough means the one that prints YAML. */
export function hasYamlYq(): boolean {
  const { signal, status, stdout } = spawnSync('yq', ['--version'], { encoding: 'utf8' })
  if (signal !== null) throw new Error('interrupted')
  return status === 0 && stdout.includes('mikefarah')
}
