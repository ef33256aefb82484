import type { Manifest } from './manifest.ts'

/**
 * Fields by the minor version of Kubernetes that they came with. An API server refuses to apply one that it does not know;
 * what it says is said in the manifest in the older way, too.
 */
const newerFields: Readonly<Record<string, number>> = { appArmorProfile: 30 }

/** A version that cannot be read is taken for a new one. */
export function withoutNewerFields(manifest: Manifest, gitVersion: string): Manifest {
  const minor = Number(/^v1\.(\d+)/.exec(gitVersion)?.[1] ?? Number.POSITIVE_INFINITY)
  const text = JSON.stringify(manifest, (key, value: unknown) =>
    (newerFields[key] ?? 0) > minor ? undefined : value,
  )
  return JSON.parse(text) as Manifest
}
