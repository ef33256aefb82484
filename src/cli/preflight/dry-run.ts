import type { Manifest } from '../../install/manifest.ts'
import type { KubeClient } from '../../kube/client.ts'
import type { Finding } from '../../runtime/finding.ts'
import { describe, findForeign, isSharedDefinition, resourceOf } from '../install/install.ts'
import { fitToServer } from '../install/older-servers.ts'

/** The API server's answer to the dry run of one object. */
export interface DryRun {
  readonly object: string
  /** The object already exists, and another product created it. */
  readonly isForeign?: true
  /** Undefined if the API server accepts the object. */
  readonly refusal: string | undefined
  readonly warnings: readonly string[]
}

/** Applies every object of an install as a dry run: the API server checks schemas, admission and rights, and stores nothing. */
export async function dryRunInstall(
  client: KubeClient,
  manifests: readonly Manifest[],
): Promise<readonly DryRun[]> {
  const foreign = await findForeign(client, manifests)
  const ours = manifests.filter((manifest) => !(foreign.has(manifest) && isSharedDefinition(manifest)))
  const dryRuns: DryRun[] = []
  for (const manifest of ours) dryRuns.push(await dryRun(client, manifest, foreign.has(manifest)))
  return dryRuns
}

async function dryRun(client: KubeClient, manifest: Manifest, isForeign: boolean): Promise<DryRun> {
  const object = describe(manifest)
  if (isForeign) return { object, isForeign: true, refusal: undefined, warnings: [] }
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

/** Kubernetes sends warnings in the form of RFC 7234, `299 - "text"`. */
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

export function judgeDryRuns(dryRuns: readonly DryRun[]): Finding[] {
  const findings = dryRuns.flatMap(({ object, isForeign, refusal, warnings }): Finding[] => [
    ...(isForeign ? [judgeForeign(object)] : []),
    ...(refusal === undefined ? [] : [judgeRefusal(object, refusal)]),
    ...warnings.map(
      (text): Finding => ({ level: 'warning', what: `the API server warns about ${object}: ${text}` }),
    ),
  ])
  if (findings.length > 0 || dryRuns.length === 0) return findings
  return [
    {
      level: 'fine',
      what: `the API server accepts all ${dryRuns.length} objects of the install in a dry run`,
    },
  ]
}

function judgeForeign(object: string): Finding {
  return {
    level: 'problem',
    what: `${object} already exists, and another product created it`,
    remedy: 'remove it, or label it app.kubernetes.io/managed-by=sallyport to hand it over to Sallyport',
  }
}

function judgeRefusal(object: string, refusal: string): Finding {
  if (/does not support dry run/i.test(refusal))
    return {
      level: 'warning',
      what: `${object} cannot be checked before the install: ${refusal}`,
      remedy: 'the admission webhook decides during the install',
    }
  return {
    level: 'problem',
    what: `the API server refuses ${object}: ${refusal}`,
    remedy: 'an install stops at this object, after it has applied the objects before it',
  }
}
