import { settings } from '../../install/settings/settings.ts'
import type { KubeClient } from '../../kube/client.ts'
import { UserError } from '../user-error.ts'
import { readConfigMap } from './config-map.ts'
import { withRights } from './rights.ts'

type Data = Readonly<Record<string, string>>

/** Settings that a command would change although connections or pods of the present install depend on them. */
export function fixedChanges(before: Data, after: Data): readonly string[] {
  return settings.flatMap(({ path, key, fallback, costOfChange }) => {
    const [was = fallback, is = fallback] = [before[key], after[key]]
    if (costOfChange === undefined || was === is) return []
    return [
      `${path} is ${was} in this install and would become ${is}. ${costOfChange} To keep it, add --set ${path}=${was}. To change it, add --force.`,
    ]
  })
}

/**
 * Refuses an install that would change such a setting of an existing install. Settings that the user does not give get their
 * defaults, which is a change, too. Without an existing install, every value is allowed.
 */
export async function refuseFixedChanges(client: KubeClient, after: Data): Promise<void> {
  const before = await readConfigMap(client, after).catch((error: unknown) => {
    throw withRights(error)
  })
  const changes = fixedChanges(before, after)
  if (changes.length > 0) throw new UserError(changes.join('\n'))
}
