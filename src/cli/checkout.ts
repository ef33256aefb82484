import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Manifest } from '../install/manifest.ts'
import { UserError } from './user-error.ts'

const repository = join(import.meta.dirname, '../..')

/** An image name without a registry, `sallyport:0.1.0`, is the image that this checkout builds. */
const ownImage = /"image":"sallyport:/

/**
 * Agents that run from this checkout, or from an image that it builds, cannot start without the compiled datapath. The install would
 * succeed, and the user would find out later.
 */
export function refuseIncompleteBuild(manifests: readonly Manifest[], root = repository): void {
  const isCheckout = existsSync(join(root, 'Makefile'))
  const isBuilt = existsSync(join(root, 'build/sallyport.bpf.o'))
  if (!isCheckout || isBuilt || !ownImage.test(JSON.stringify(manifests))) return
  throw new UserError(
    `${root} is not built: build/sallyport.bpf.o is missing, and agents do not start without it. Run ${root}/setup, or use a built image: --set image.repository=…`,
  )
}
