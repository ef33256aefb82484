import { accessSync, constants, lstatSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Finding } from '../../runtime/finding.ts'

/** The folders that the container runtime and the agent share, as this node has them. */
export interface RuntimeFolders {
  readonly binaries: MountState & { readonly loopback: 'missing' | 'usable' | 'not executable' }
  readonly configuration: MountState
}

interface MountState {
  readonly path: string
  readonly isReadOnly: boolean
  readonly isNoExec: boolean
}

export function gatherRuntimeFolders({
  binaries,
  configuration,
}: Record<'binaries' | 'configuration', string>): RuntimeFolders {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
  return {
    binaries: { ...mountStateOf(binaries, mounts), loopback: loopbackIn(binaries) },
    configuration: mountStateOf(configuration, mounts),
  }
}

/** A path belongs to the mount with the longest mount point above it. Of several mounts on one point, the last one counts. */
export function mountStateOf(path: string, mountinfo: string): MountState {
  let [best, options] = ['', '']
  for (const line of mountinfo.split('\n')) {
    /* proc(5): id, parent, device, root, mount point, options, …, "-", type, source, options of the file system */
    const [, , , , point = '', perMount = ''] = line.split(' ')
    const isAbove = point === '/' || path === point || path.startsWith(`${point}/`)
    if (!isAbove || point === '' || point.length < best.length) continue
    best = point
    options = `${perMount},${line.split(' - ')[1]?.split(' ')[2] ?? ''}`
  }
  const has = (option: string): boolean => options.split(',').includes(option)
  return { path, isReadOnly: has('ro'), isNoExec: has('noexec') }
}

function loopbackIn(folder: string): RuntimeFolders['binaries']['loopback'] {
  const path = join(folder, 'loopback')
  if (lstatSync(path, { throwIfNoEntry: false }) === undefined) return 'missing'
  try {
    accessSync(path, constants.X_OK)
    return 'usable'
  } catch {
    return 'not executable'
  }
}

/** Pure. Lists what would prevent the runtime from starting pods. */
export function judgeRuntimeFolders({ binaries, configuration }: RuntimeFolders): readonly Finding[] {
  const findings: Finding[] = []
  for (const { path, isReadOnly } of [binaries, configuration])
    if (isReadOnly)
      findings.push({
        level: 'problem',
        what: `the node's folder that is mounted at ${path} is read-only`,
        remedy:
          'set cni.binPath and cni.confPath to folders that the container runtime reads (bin_dir, conf_dir) and the agent can write',
      })
  if (binaries.isNoExec)
    findings.push({
      level: 'problem',
      what: `the node's folder that is mounted at ${binaries.path} has the option noexec, so no CNI plugin in it can run`,
      remedy: 'mount it with exec, or set cni.binPath to another folder of the container runtime (bin_dir)',
    })
  if (binaries.loopback === 'not executable')
    findings.push({
      level: 'problem',
      what: `${binaries.path}/loopback is not executable, and container runtimes call it for every pod`,
      remedy: 'make it executable, or delete it and restart the agent, which then installs its own',
    })
  if (findings.length > 0) return findings
  const whose =
    binaries.loopback === 'missing' ? 'the agent installs the loopback plugin' : 'a loopback plugin exists'
  return [{ level: 'fine', what: `the folders of the container runtime are usable, and ${whose}` }]
}
