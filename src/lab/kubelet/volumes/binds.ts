import { existsSync, mkdirSync, realpathSync } from 'node:fs'
import { join } from 'node:path'
import { isWithin } from '../../machines/hidden-folders.ts'
import type { Container, Pod } from '../pod-spec.ts'
import { requireInside } from './volume-files.ts'
import type { Volume, VolumeMount } from './volume-spec.ts'

/** What a container sees where. */
export interface Bind {
  readonly source: string
  readonly target: string
  readonly isReadOnly: boolean
  /** Which mounts that are made later on one side are seen on the other. */
  readonly propagation: 'None' | 'HostToContainer' | 'Bidirectional'
}

/** One container's view of its pod's volumes. `paths` is what `PodVolumes.mounts` answered. */
export function bindsOf(pod: Pod, container: Container, paths: ReadonlyMap<string, string>): readonly Bind[] {
  const binds = (container.volumeMounts ?? []).map((mount) => {
    const { name, mountPath, readOnly = false, mountPropagation } = mount
    const volume = pod.spec.volumes?.find((each) => each.name === name)
    const source = sourceOf(mount, paths.get(name) ?? '')
    return {
      source,
      target: mountPath,
      isReadOnly: readOnly || (volume !== undefined && isFilled(volume)),
      propagation: mountPropagation ?? ('None' as const),
    }
  })
  /* What is mounted inside another mount comes after it. */
  const depth = ({ target }: Bind): number => target.split('/').length
  return binds.sort((a, b) => depth(a) - depth(b))
}

/** What the kubelet fills, containers cannot write to. */
function isFilled({ configMap, secret, downwardAPI, projected }: Volume): boolean {
  return [configMap, secret, downwardAPI, projected].some((source) => source !== undefined)
}

/** A part of a volume. Links in it may come from a container: none may lead out of the volume. */
function sourceOf({ name, subPath = '', subPathExpr }: VolumeMount, volume: string): string {
  if (subPathExpr) throw new Error(`volume ${name}: the lab does not know subPathExpr; use subPath`)
  if (subPath === '') return volume
  requireInside(subPath)
  const path = join(volume, subPath)
  if (!existsSync(path)) mkdirSync(path, { recursive: true })
  const real = realpathSync(path)
  if (!isWithin(real, realpathSync(volume)))
    throw new Error(`failed to prepare subPath for volumeMount "${name}": it leads out of the volume`)
  return real
}
