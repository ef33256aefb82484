import { kinds } from '../../api/kinds.ts'
import { version } from '../../api/version.ts'
import { configMapName, namespace } from '../../install/manifest.ts'
import { settings } from '../../install/settings/settings.ts'
import type { KubeClient, KubeObject, ResourceName } from '../../kube/client.ts'
import { clusterResource, coreResource } from '../../kube/cluster-objects.ts'
import { abortAfter, systemClock } from '../../runtime/clock.ts'
import { readTimeline } from '../see/events.ts'
import { listOwnPods } from '../trouble/cluster-trouble.ts'
import type { ArchivedFile } from './archive.ts'
import { redactObject, redactText } from './redact.ts'

const apps = (plural: string): ResourceName => ({ group: 'apps', version: 'v1', plural, isNamespaced: true })
const ours = { namespace, labelSelector: 'app.kubernetes.io/managed-by=sallyport' }
const logLines = '5000'
const answerWithinMs = 20_000

/** Gives the text of a file, or says in its place why it cannot. One answer that is missing must not cost the others. */
export async function fileOf(path: string, read: () => Promise<unknown>): Promise<ArchivedFile> {
  try {
    const value = await read()
    const text = typeof value === 'string' ? value : `${JSON.stringify(value, null, 2)}\n`
    return { path, text: redactText(text) }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error)
    return { path: `${path}.missing`, text: redactText(`${message}\n`) }
  }
}

/** The objects that Sallyport reads and writes, and its own pods with their logs. Secrets and pods of users are never read. */
export async function clusterFiles(client: KubeClient): Promise<readonly ArchivedFile[]> {
  const list = async (resource: ResourceName, options = {}): Promise<unknown> =>
    (await client.resource<KubeObject>(resource).list(options)).items.map(redactObject)
  const objects: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['versions.json', async () => ({ command: version, apiServer: await apiServerVersion(client) })],
    ...Object.values(kinds).map(
      (kind) => [`objects/${kind.plural}.json`, () => list(clusterResource(kind))] as const,
    ),
    ['objects/nodes.json', () => list(coreResource('nodes', false))],
    ['objects/pods.json', () => list(coreResource('pods', true), ours)],
    ['objects/daemonsets.json', () => list(apps('daemonsets'), ours)],
    ['objects/deployments.json', () => list(apps('deployments'), ours)],
    ['settings.json', () => readSettings(client)],
    ['events.json', () => readTimeline(client)],
  ]
  const read = await Promise.all(objects.map(([path, each]) => fileOf(path, each)))
  return [...read, ...(await logFiles(client))]
}

async function apiServerVersion(client: KubeClient): Promise<unknown> {
  using limit = abortAfter(systemClock, answerWithinMs)
  const answer = await client.open({ method: 'GET', path: '/version', signal: limit.signal })
  return await answer.body.json()
}

/** Only keys that are settings, because a user may add other keys to a ConfigMap. */
async function readSettings(client: KubeClient): Promise<unknown> {
  const configMaps = client.resource<KubeObject & { readonly data?: Record<string, string> }>(
    coreResource('configmaps', true),
  )
  const { data = {} } = await configMaps.get(configMapName, namespace)
  return Object.fromEntries(
    settings.flatMap(({ key }) => (data[key] === undefined ? [] : [[key, data[key]]])),
  )
}

interface LoggedPod {
  readonly metadata: { readonly name: string }
  readonly spec: { readonly containers: readonly { readonly name: string }[] }
}

async function logFiles(client: KubeClient): Promise<readonly ArchivedFile[]> {
  const pods = (await listOwnPods(client).catch(() => [])) as unknown as readonly LoggedPod[]
  return Promise.all(
    pods.flatMap(({ metadata: { name }, spec }) =>
      spec.containers.map((container) =>
        fileOf(`logs/${name}.${container.name}.log`, () => readLog(client, name, container.name)),
      ),
    ),
  )
}

async function readLog(client: KubeClient, pod: string, container: string): Promise<string> {
  const path = client.resource(coreResource('pods', true)).path(namespace, pod, 'log')
  const query = { container, tailLines: logLines }
  using limit = abortAfter(systemClock, answerWithinMs)
  const answer = await client.open({ method: 'GET', path, query, signal: limit.signal })
  return await answer.body.text()
}
