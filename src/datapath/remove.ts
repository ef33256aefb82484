import { rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { defaultPinDirectory } from './datapath.ts'
import { Hooks } from './hooks/hooks.ts'
import { unpinAll } from './maps/pins.ts'

/**
 * Takes everything of the datapath out of the kernel: programs off their devices, maps unpinned. Flows that it
 * translated end here. Answers with how many programs there were.
 */
export function removeDatapath(pinDirectory: string = defaultPinDirectory): number {
  const hooks = new Hooks(pinDirectory)
  const attachments = hooks.list()
  for (const attachment of attachments) hooks.detach(attachment)
  hooks.removeFolder()
  unpinAll(join(pinDirectory, 'maps'))
  rmdirSync(pinDirectory)
  return attachments.length
}
