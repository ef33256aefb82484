import type { ObjectSource } from './volume-spec.ts'

export interface VolumeFile {
  readonly content: Buffer
  /** Permission bits. */
  readonly mode: number
}

/** By path inside the volume. */
export type VolumeFiles = ReadonlyMap<string, VolumeFile>

export const defaultFileMode = 0o644

/** The parts of a ConfigMap, or of a Secret, that become files. */
export interface KeyedObject {
  readonly data?: Readonly<Record<string, string>>
  readonly binaryData?: Readonly<Record<string, string>>
}

type ObjectKind = 'configmap' | 'secret'

/** An object's keys as files, in the words of a kubelet where one of `items` is not there. */
export function filesOfObject(
  kind: ObjectKind,
  object: KeyedObject | undefined,
  { name = '', items, optional = false }: ObjectSource,
  defaultMode: number,
): VolumeFiles {
  if (object === undefined) {
    if (optional) return new Map()
    throw new Error(`${kind} "${name}" not found`)
  }
  const contents = contentsOf(kind, object)
  if (items === undefined || items.length === 0)
    return new Map([...contents].map(([key, content]) => [key, { content, mode: defaultMode }]))
  const files = new Map<string, VolumeFile>()
  for (const { key, path, mode = defaultMode } of items) {
    const content = contents.get(key)
    if (content !== undefined) files.set(path, { content, mode })
    else if (!optional)
      throw new Error(
        kind === 'secret'
          ? `references non-existent secret key: ${key}`
          : `configmap references non-existent config key: ${key}`,
      )
  }
  return files
}

function contentsOf(kind: ObjectKind, { data = {}, binaryData = {} }: KeyedObject): Map<string, Buffer> {
  const encoding = kind === 'secret' ? 'base64' : 'utf8'
  return new Map([
    ...Object.entries(data).map(([key, value]) => [key, Buffer.from(value, encoding)] as const),
    ...Object.entries(binaryData).map(([key, value]) => [key, Buffer.from(value, 'base64')] as const),
  ])
}

/** Paths come from pods, and a kubelet writes as root: none may lead out of its volume. */
export function requireInside(path: string): void {
  const parts = path.split('/')
  if (path === '' || path.startsWith('/') || parts.includes('..') || parts[0]?.startsWith('..'))
    throw new Error(`invalid path "${path}": must be relative, and must not contain ".."`)
}
