import { spawnSync } from 'node:child_process'
import { accessSync, constants, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { missingImages } from './containerd/image-store.ts'
import { kubectlProblem } from './programs/client-tools.ts'

const tools = [
  ['ip', 'iproute2'],
  ['nsenter', 'util-linux'],
  ['unshare', 'util-linux'],
  ['script', 'bsdutils'],
  ['openssl', 'openssl'],
  ['curl', 'curl'],
] as const

/** Why this user cannot use labs, not even see them. Undefined for root. */
export function rootProblem(): string | undefined {
  return process.getuid?.() === 0
    ? undefined
    : 'only root can use labs, because they are network namespaces: run the command with sudo'
}

/** What a lab needs and this machine lacks, one sentence each with the remedy. */
export function missingForLab(): string[] {
  const missing: string[] = []
  const problem = rootProblem()
  if (problem !== undefined) missing.push(problem)
  for (const [tool, package_] of tools)
    if (!isOnPath(tool)) missing.push(`${tool} is missing: run apt-get install ${package_}`)
  if (!readFileSync('/proc/filesystems', 'utf8').includes('\toverlay\n'))
    missing.push(
      'the kernel has no overlay file system, and nodes need it for their own /etc: run modprobe overlay',
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

/** What nodes with a container runtime also need and this machine lacks. */
export function missingForContainerd(): string[] {
  const missing = runtimeTools
    .filter(([tool]) => !isOnPath(tool))
    .map(([tool, package_]) => `${tool} is missing: run apt-get install ${package_}`)
  const images = missingImages()
  const client = hasModule('@grpc/grpc-js') ? [] : ['the npm package @grpc/grpc-js is missing: run ./setup']
  return [...missing, ...client, ...(images === undefined ? [] : [images])]
}

/** A machine that runs labs may not have the packages for development. */
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

/** Two tools have this name. The walkthrough uses the one that prints YAML. */
export function hasYamlYq(): boolean {
  const { signal, status, stdout } = spawnSync('yq', ['--version'], { encoding: 'utf8' })
  if (signal !== null) throw new Error('interrupted')
  return status === 0 && stdout.includes('mikefarah')
}
