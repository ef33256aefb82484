import { existsSync } from 'node:fs'
import { join } from 'node:path'
import type { Manifest } from '../install/manifest.ts'
import { Complaint } from './user-error.ts'

const repository = join(import.meta.dirname, '../..')

/** Without a registry in its name, the image is what this very checkout builds: `sallyport:0.1.0`. */
const ownImage = /"image":"sallyport:/

/**
 * Agents that run from this checkout, as a lab's do, or from an image that it builds, cannot start without the compiled datapath. Nobody
 * would see why before the install is done.
 */
export function refuseHalfBuilt(manifests: readonly Manifest[], root = repository): void {
  const isCheckout = existsSync(join(root, 'Makefile'))
  const isBuilt = existsSync(join(root, 'build/sallyport.bpf.o'))
  if (!isCheckout || isBuilt || !ownImage.test(JSON.stringify(manifests))) return
  throw new Complaint(
    `${root} is not built (no build/sallyport.bpf.o), and agents from it would not start: run ${root}/setup first, or name an image that is: --set image.repository=…`,
  )
}
