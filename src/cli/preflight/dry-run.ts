import type { Manifest } from '../../install/manifest.ts'
import type { KubeClient } from '../../kube/client.ts'
import type { Finding } from '../../runtime/finding.ts'
import { describe, findForeign, isUsedAsItIs, resourceOf } from '../install/install.ts'
import { fitToServer } from '../install/older-servers.ts'

/** What the API server says to one object of an install that it is asked to try. */
export interface Rehearsal {
  readonly object: string
  /** Undefined: it would take it. */
  readonly refusal: string | undefined
  readonly warnings: readonly string[]
}

/** Lets the API server try every object of an install, with its schemas, its admission and its rights, and store none. */
export async function rehearseInstall(
  client: KubeClient,
  manifests: readonly Manifest[],
): Promise<readonly Rehearsal[]> {
  const foreign = await findForeign(client, manifests)
  const ours = manifests.filter((manifest) => !(foreign.has(manifest) && isUsedAsItIs(manifest)))
  const rehearsals: Rehearsal[] = []
  for (const manifest of ours) rehearsals.push(await rehearse(client, manifest, foreign.has(manifest)))
  return rehearsals
}

async function rehearse(client: KubeClient, manifest: Manifest, isForeign: boolean): Promise<Rehearsal> {
  const object = describe(manifest)
  if (isForeign)
    return {
      object,
      refusal:
        'there is one already that is not ours: remove it, or label it app.kubernetes.io/managed-by=sallyport',
      warnings: [],
    }
  const { name, namespace } = manifest.metadata
  const answer = await client.send({
    method: 'PATCH',
    path: client.resource(resourceOf(manifest)).path(namespace, name),
    query: { fieldManager: 'sallyport', force: 'true', dryRun: 'All' },
    body: await fitToServer(client, manifest),
    contentType: 'application/apply-patch+yaml',
  })
  const text = await answer.body.text()
  const warnings = [answer.headers.warning ?? []].flat().map(textOfWarning)
  return { object, refusal: answer.statusCode < 300 ? undefined : messageIn(text), warnings }
}

/** RFC 9111 had it as `299 - "text"`, which Kubernetes still sends. */
function textOfWarning(header: string): string {
  return /^\d{3} \S+ "(.*)"/.exec(header)?.[1]?.replaceAll('\\"', '"') ?? header
}

function messageIn(text: string): string {
  try {
    return String((JSON.parse(text) as { readonly message?: unknown }).message)
  } catch {
    return text.slice(0, 200)
  }
}

/** Pure. */
export function judgeRehearsal(rehearsals: readonly Rehearsal[]): Finding[] {
  const findings = rehearsals.flatMap(({ object, refusal, warnings }): Finding[] => [
    ...(refusal === undefined ? [] : [judgeRefusal(object, refusal)]),
    ...warnings.map(
      (text): Finding => ({ level: 'warning', what: `the API server warns of ${object}: ${text}` }),
    ),
  ])
  if (findings.length > 0 || rehearsals.length === 0) return findings
  return [
    { level: 'fine', what: `the API server would take all ${rehearsals.length} objects of the install` },
  ]
}

function judgeRefusal(object: string, refusal: string): Finding {
  if (/does not support dry run/i.test(refusal))
    return {
      level: 'warning',
      what: `${object} could not be tried: ${refusal}`,
      remedy: 'an admission webhook decides only when it is applied',
    }
  return {
    level: 'problem',
    what: `the API server refuses ${object}: ${refusal}`,
    remedy: 'install would end here, with the objects before it applied',
  }
}
