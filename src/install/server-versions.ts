import type { Manifest } from './manifest.ts'

/**
 * The minor version of Kubernetes that introduced each field. An API server refuses to apply an unknown field. The manifests also contain
 * the older form of these fields.
 */
const newerFields: Readonly<Record<string, number>> = { appArmorProfile: 30 }

/** An unreadable version counts as a new one. */
export function withoutNewerFields(manifest: Manifest, gitVersion: string): Manifest {
  const minor = Number(/^v1\.(\d+)/.exec(gitVersion)?.[1] ?? Number.POSITIVE_INFINITY)
  const text = JSON.stringify(manifest, (key, value: unknown) =>
    (newerFields[key] ?? 0) > minor ? undefined : value,
  )
  return JSON.parse(text) as Manifest
}
