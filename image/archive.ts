import { run } from './run.ts'

/** The parts of an OCI archive, from its index. */
export interface Archive {
  readonly digest: string
  readonly layers: readonly { readonly digest: string; readonly size: number }[]
  readonly compressedBytes: number
}

export function readArchive(file: string): Archive {
  const blob = (digest: string): unknown =>
    JSON.parse(run('tar', ['--extract', '--to-stdout', '--file', file, `blobs/${digest.replace(':', '/')}`]))
  const index = JSON.parse(run('tar', ['--extract', '--to-stdout', '--file', file, 'index.json'])) as {
    readonly manifests: readonly { readonly digest: string; readonly size: number }[]
  }
  const [manifest] = index.manifests
  if (manifest === undefined) throw new Error(`${file} holds no image`)
  const { layers, config } = blob(manifest.digest) as {
    readonly layers: Archive['layers']
    readonly config: { readonly size: number }
  }
  const sizes = [...layers, config, manifest].map(({ size }) => size)
  return { digest: manifest.digest, layers, compressedBytes: sizes.reduce((sum, size) => sum + size, 0) }
}
