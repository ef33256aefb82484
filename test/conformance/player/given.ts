import { setTimeout } from 'node:timers/promises'
import type { Manifest } from '../../../src/install/manifest.ts'
import { Bindings } from './placeholders.ts'
import { type Entry, readRecording } from './recording.ts'
import type { Target } from './target.ts'

const establishedWithinMs = 20_000
const definitionsPath = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'

/** Makes what is there before the first request of a file, as its first entry says. Returns the paths of what it made. */
export const givens: Readonly<Record<string, (target: Target) => Promise<readonly string[]>>> = {
  discovery: makeDefinitionsAndNodes,
  definitions: async () => [],
  policies: async () => [],
  apply: makeDefinitions,
  reads: makeDefinitionsAndNodes,
  rights: async (target) => [...(await makeDefinitions(target)), ...(await makeRecordedNodes(target))],
  admission: async () => [],
}

/** As they were when the answers were recorded: what we render now may say more. */
function recordedDefinitions(): readonly Manifest[] {
  const isDefinition = ({ name }: Entry): boolean => name.startsWith('the definition of ')
  return readRecording('policies')
    .filter(isDefinition)
    .map(({ request }) => request?.body as Manifest)
}

async function makeDefinitionsAndNodes(target: Target): Promise<readonly string[]> {
  return [...(await makeDefinitions(target)), ...(await makeNodes(target))]
}

async function makeDefinitions(target: Target): Promise<readonly string[]> {
  const definitions = recordedDefinitions()
  for (const definition of definitions) await make(target, definitionsPath, definition)
  const paths = definitions.map(({ metadata }) => `${definitionsPath}/${metadata.name}`)
  for (const path of paths) await untilEstablished(target, path)
  return paths
}

/** Until then an API server does not know the kind. */
async function untilEstablished(target: Target, path: string): Promise<void> {
  for (const end = Date.now() + establishedWithinMs; Date.now() < end; await setTimeout(50)) {
    const { body } = await target.admin('GET', path)
    const { status } = body as {
      status?: { conditions?: readonly { type: string; status: string }[] | null }
    }
    if (status?.conditions?.some(({ type, status: is }) => type === 'Established' && is === 'True')) return
  }
  throw new Error(`${path} is not established`)
}

async function makeNodes(target: Target): Promise<readonly string[]> {
  const names = ['n1', 'n2']
  for (const name of names)
    await make(target, '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name } })
  return names.map((name) => `/api/v1/nodes/${name}`)
}

/** With what their kubelets had written of them. */
async function makeRecordedNodes(target: Target): Promise<readonly string[]> {
  const bodyOf = (name: string): Manifest =>
    readRecording('rights').find((entry) => entry.name === name)?.response?.body as Manifest
  const [node, lease] = [bodyOf('kubelet of n1: gets its node'), bodyOf('kubelet of n1: its own lease')]
  const leases = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases'
  const names = ['n1', 'n2']
  for (const name of names) {
    await make(target, '/api/v1/nodes', withoutIdentity(node, name))
    await make(target, leases, withoutIdentity(lease, name))
  }
  return names.flatMap((name) => [`/api/v1/nodes/${name}`, `${leases}/${name}`])
}

function withoutIdentity(object: Manifest, name: string): object {
  const {
    uid: _,
    resourceVersion: __,
    creationTimestamp: ___,
    managedFields: ____,
    ...metadata
  } = object.metadata as unknown as Record<string, unknown>
  return new Bindings().fill({ ...object, metadata: { ...metadata, name, ownerReferences: [] } })
}

async function make(target: Target, path: string, object: object): Promise<void> {
  const { status, body } = await target.admin('POST', path, object)
  if (status !== 201) throw new Error(`${path}: ${status} ${JSON.stringify(body)}`)
}
