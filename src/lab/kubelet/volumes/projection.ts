import { type Allocatable, downwardText } from '../containers/downward.ts'
import type { Pod } from '../pod-spec.ts'
import type { NamedObjects } from './named-objects.ts'
import type { Tokens } from './tokens.ts'
import {
  defaultFileMode,
  filesOfObject,
  type KeyedObject,
  type VolumeFile,
  type VolumeFiles,
} from './volume-files.ts'
import type { DownwardSource, ObjectSource, ProjectedSource, TokenSource, Volume } from './volume-spec.ts'

export interface ProjectionSources {
  readonly configMaps: NamedObjects
  readonly secrets: NamedObjects
  readonly tokens: Tokens
  readonly allocatable: Allocatable
  readonly authority: string
}

/** The sources of a volume that the API server fills; undefined where the volume is of another kind. */
export function projectedSources(
  volume: Volume,
): { readonly sources: readonly ProjectedSource[]; readonly defaultMode: number } | undefined {
  const { configMap, secret, downwardAPI, projected } = volume
  const mode = (part: { readonly defaultMode?: number }): number => part.defaultMode ?? defaultFileMode
  if (configMap !== undefined) return { sources: [{ configMap }], defaultMode: mode(configMap) }
  if (secret !== undefined) {
    const { secretName = '', ...rest } = secret
    return { sources: [{ secret: { ...rest, name: secretName } }], defaultMode: mode(secret) }
  }
  if (downwardAPI !== undefined) return { sources: [{ downwardAPI }], defaultMode: mode(downwardAPI) }
  if (projected !== undefined) return { sources: projected.sources ?? [], defaultMode: mode(projected) }
  return undefined
}

/** Every source's files in one volume; a later source wins where two have the same path. All that is missing is named at once. */
export async function projectFiles(
  pod: Pod,
  volume: Volume,
  from: ProjectionSources,
): Promise<VolumeFiles | undefined> {
  const projected = projectedSources(volume)
  if (projected === undefined) return undefined
  const files = new Map<string, VolumeFile>()
  const problems: string[] = []
  for (const source of projected.sources)
    try {
      for (const [path, file] of await filesOfSource(pod, source, projected.defaultMode, from))
        files.set(path, file)
    } catch (error) {
      problems.push(error instanceof Error ? error.message : String(error))
    }
  if (problems.length > 0) throw new Error(problems.length === 1 ? problems[0] : `[${problems.join(', ')}]`)
  return files
}

async function filesOfSource(
  pod: Pod,
  source: ProjectedSource,
  defaultMode: number,
  from: ProjectionSources,
): Promise<VolumeFiles> {
  const { namespace = 'default' } = pod.metadata
  const { configMap, secret, downwardAPI, serviceAccountToken } = source
  const find = (objects: NamedObjects, { name = '' }: ObjectSource) => objects.find(namespace, name)
  if (configMap !== undefined) {
    const object = withAuthority(configMap, await find(from.configMaps, configMap), from.authority)
    return filesOfObject('configmap', object, configMap, defaultMode)
  }
  if (secret !== undefined)
    return filesOfObject('secret', await find(from.secrets, secret), secret, defaultMode)
  if (downwardAPI !== undefined) return filesOfPod(pod, downwardAPI, defaultMode, from.allocatable)
  if (serviceAccountToken !== undefined) return tokenFile(pod, serviceAccountToken, defaultMode, from.tokens)
  throw new Error(`unknown source of a projected volume: ${Object.keys(source).join()}`)
}

/** Where pods read whom to trust, the authority is found that they meet. */
function withAuthority(
  { name }: ObjectSource,
  object: KeyedObject | undefined,
  authority: string,
): KeyedObject | undefined {
  const text = object?.data?.['ca.crt']
  if (name !== 'kube-root-ca.crt' || text === undefined || text.includes(authority.trim())) return object
  return { ...object, data: { ...object?.data, 'ca.crt': `${text.trimEnd()}\n${authority}` } }
}

function filesOfPod(
  pod: Pod,
  { items = [] }: DownwardSource,
  defaultMode: number,
  allocatable: Allocatable,
): VolumeFiles {
  return new Map(
    items.map((item) => [
      item.path,
      { content: Buffer.from(downwardText(pod, item, allocatable)), mode: item.mode ?? defaultMode },
    ]),
  )
}

/** If the token has an owner of its own, no other user may read it. */
async function tokenFile(
  pod: Pod,
  source: TokenSource,
  defaultMode: number,
  tokens: Tokens,
): Promise<VolumeFiles> {
  const content = Buffer.from(await tokens.tokenFor(pod, source))
  const isOwned = userOfAll(pod) !== undefined || pod.spec.securityContext?.fsGroup !== undefined
  return new Map([[source.path, { content, mode: isOwned ? 0o600 : defaultMode }]])
}

/** The user of all containers of a pod where they have the same one. */
export function userOfAll({ spec }: Pod): number | undefined {
  const users = new Set(
    [...(spec.initContainers ?? []), ...spec.containers].map(
      ({ securityContext }) => securityContext?.runAsUser ?? spec.securityContext?.runAsUser,
    ),
  )
  return users.size === 1 ? [...users][0] : undefined
}
