import { chmodSync, chownSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { KubeClient } from '../../../kube/client.ts'
import type { Clock } from '../../../runtime/clock.ts'
import type { Logger } from '../../../runtime/log.ts'
import { isWithin } from '../../machines/hidden-folders.ts'
import type { Allocatable } from '../containers/downward.ts'
import { containersOf, type Pod } from '../pod-spec.ts'
import { type Owner, writeAtomically } from './atomic-directory.ts'
import { prepareHostPath } from './host-path.ts'
import { NamedObjects } from './named-objects.ts'
import { type ProjectionSources, projectedSources, projectFiles, userOfAll } from './projection.ts'
import { Tokens } from './tokens.ts'
import type { VolumeFile, VolumeFiles } from './volume-files.ts'
import type { Volume } from './volume-spec.ts'

/** A volume could not be made ready. Its message is the one that a real kubelet writes in the Event FailedMount. */
export class MountProblem extends Error {
  readonly volume: string

  constructor(volume: string, message: string, cause?: unknown) {
    super(message, { cause })
    this.volume = volume
  }
}

interface PodVolumesOptions {
  readonly client: KubeClient
  readonly clock: Clock
  readonly log: Logger
  readonly allocatable: Allocatable
  /** Where the volumes are that are filled here, a folder a pod. */
  readonly directory: string
  /**
   * Of the API server that this node's pods reach. A lab that has joined a cluster puts its relay before that cluster's API
   * server, so that pods must trust it besides the cluster's own authority.
   */
  readonly authority: string
  /** A ConfigMap or a Secret that a pod mounts has changed. */
  readonly onChange: () => void
}

/**
 * The volumes of this node's pods: folders on the node that are filled before a pod's network is made, and kept up to date
 * while the pod lives. How a container gets to see them is the runtime's matter.
 */
export class PodVolumes {
  readonly #sources: ProjectionSources
  readonly #directory: string
  readonly #pods = new Map<string, Pod>()
  /** By pod: what is ready, by the volume's name. A path of the node is looked at once, and not again while its pod runs. */
  readonly #ready = new Map<string, Map<string, string>>()
  /** By folder: what this kubelet wrote there last. The same again is not compared with the disk each second. */
  readonly #written = new Map<string, VolumeFiles>()

  constructor(options: PodVolumesOptions) {
    const { client, clock, allocatable, authority, directory } = options
    this.#directory = directory
    this.#sources = {
      authority,
      configMaps: new NamedObjects('configmaps', options),
      secrets: new NamedObjects('secrets', options),
      tokens: new Tokens(client, clock),
      allocatable,
    }
  }

  /**
   * Makes every volume ready that a container mounts. By the volume's name: the path on this node. Safe to call again, which
   * brings changed ConfigMaps and Secrets and replaces tokens long before they expire. Throws a MountProblem.
   */
  async mounts(pod: Pod): Promise<ReadonlyMap<string, string>> {
    const uid = pod.metadata.uid ?? ''
    this.#pods.set(uid, pod)
    const paths = this.#ready.get(uid) ?? new Map<string, string>()
    this.#ready.set(uid, paths)
    for (const name of mountedVolumes(pod)) {
      const volume = pod.spec.volumes?.find((each) => each.name === name)
      if (volume === undefined) throw unknownVolume(name)
      if (volume.hostPath !== undefined && paths.has(name)) continue
      try {
        paths.set(name, await this.#prepare(pod, volume))
      } catch (error) {
        if (error instanceof MountProblem) throw error
        const why = error instanceof Error ? error.message : String(error)
        throw new MountProblem(name, `MountVolume.SetUp failed for volume "${name}" : ${why}`, error)
      }
    }
    this.#forgetUnusedObjects()
    return paths
  }

  /** The pod is gone: its folders go, too. */
  forget(uid: string): void {
    this.#pods.delete(uid)
    this.#ready.delete(uid)
    this.#sources.tokens.forget(uid)
    this.#forgetUnusedObjects()
    const folder = this.#volumesOf(uid)
    for (const written of this.#written.keys()) if (isWithin(written, folder)) this.#written.delete(written)
    rmSync(folder, { recursive: true, force: true })
  }

  async #prepare(pod: Pod, volume: Volume): Promise<string> {
    const { name, hostPath, emptyDir } = volume
    if (hostPath !== undefined) return prepareHostPath(hostPath)
    const directory = join(this.#volumesOf(pod.metadata.uid ?? ''), name)
    if (emptyDir !== undefined) {
      makeEmpty(directory, pod)
      return directory
    }
    const projected = await projectFiles(pod, volume, this.#sources)
    if (projected === undefined) throw unknownVolume(name)
    const files = readableByGroup(pod, projected)
    if (isSame(files, this.#written.get(directory))) return directory
    writeAtomically(directory, files, ownerOf(pod))
    this.#written.set(directory, files)
    return directory
  }

  #volumesOf(uid: string): string {
    return join(this.#directory, uid)
  }

  #forgetUnusedObjects(): void {
    const used = { configMaps: new Set<string>(), secrets: new Set<string>() }
    for (const pod of this.#pods.values())
      for (const volume of pod.spec.volumes ?? [])
        for (const { configMap, secret } of projectedSources(volume)?.sources ?? []) {
          const { namespace = 'default' } = pod.metadata
          if (configMap !== undefined) used.configMaps.add(`${namespace}/${configMap.name}`)
          if (secret !== undefined) used.secrets.add(`${namespace}/${secret.name}`)
        }
    this.#sources.configMaps.keepOnly(used.configMaps)
    this.#sources.secrets.keepOnly(used.secrets)
  }
}

function isSame(files: VolumeFiles, others: VolumeFiles | undefined): boolean {
  if (others?.size !== files.size) return false
  return [...files].every(([path, { content, mode }]) => {
    const other = others.get(path)
    return other?.mode === mode && other.content.equals(content)
  })
}

/** A real kubelet leaves a volume alone that no container mounts, be its source there or not. */
function mountedVolumes(pod: Pod): ReadonlySet<string> {
  return new Set(containersOf(pod).flatMap(({ volumeMounts = [] }) => volumeMounts.map(({ name }) => name)))
}

/** A pod with a volume of an unknown kind waits forever. Only the Event says why. */
function unknownVolume(name: string): MountProblem {
  return new MountProblem(
    name,
    `Unable to attach or mount volumes: unmounted volumes=[${name}], unattached volumes=[], failed to process volumes=[${name}]: failed to get Plugin from volumeSpec for volume "${name}" err=no volume plugin matched`,
  )
}

/** Whoever a container runs as may write to an emptyDir. */
function makeEmpty(directory: string, pod: Pod): void {
  if (existsSync(directory)) return
  const { fsGroup } = pod.spec.securityContext ?? {}
  mkdirSync(directory, { recursive: true })
  chmodSync(directory, fsGroup === undefined ? 0o777 : 0o2777)
  if (fsGroup !== undefined) chownSync(directory, 0, fsGroup)
}

/** With a group of its own, a pod's volumes are that group's; else its tokens are its only user's. */
function ownerOf(pod: Pod): Owner | undefined {
  const { fsGroup } = pod.spec.securityContext ?? {}
  if (fsGroup !== undefined) return { uid: 0, gid: fsGroup }
  const uid = userOfAll(pod)
  return uid === undefined ? undefined : { uid, gid: 0 }
}

function readableByGroup(pod: Pod, files: VolumeFiles): VolumeFiles {
  if (pod.spec.securityContext?.fsGroup === undefined) return files
  const withGroup = ({ content, mode }: VolumeFile): VolumeFile => ({ content, mode: mode | 0o440 })
  return new Map([...files].map(([path, file]) => [path, withGroup(file)]))
}
