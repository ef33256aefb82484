import type { Manifest } from '../../../src/api/manifest.ts'
import { type Entry, readRecording } from './recording.ts'
import type { Target } from './target.ts'

const definitionsPath = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'

/** What is there before the first request of a file, as its first entry says. */
export const givens: Readonly<Record<string, (target: Target) => Promise<void>>> = {
  discovery: async (target) => {
    await makeDefinitions(target)
    await makeNodes(target)
  },
  definitions: async () => {},
  policies: async () => {},
  apply: makeDefinitions,
  reads: async (target) => {
    await makeDefinitions(target)
    await makeNodes(target)
  },
  rights: async (target) => {
    await makeDefinitions(target)
    await makeRecordedNodes(target)
  },
  admission: async () => {},
}

/** As they were when the answers were recorded: what we render now may say more. */
function recordedDefinitions(): readonly Manifest[] {
  const isDefinition = ({ name }: Entry): boolean => name.startsWith('the definition of ')
  return readRecording('policies')
    .filter(isDefinition)
    .map(({ request }) => request?.body as Manifest)
}

async function makeDefinitions(target: Target): Promise<void> {
  for (const definition of recordedDefinitions()) await make(target, definitionsPath, definition)
}

async function makeNodes(target: Target): Promise<void> {
  for (const name of ['n1', 'n2'])
    await make(target, '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name } })
}

/** With what their kubelets had written of them. */
async function makeRecordedNodes(target: Target): Promise<void> {
  const bodyOf = (name: string): Manifest =>
    readRecording('rights').find((entry) => entry.name === name)?.response?.body as Manifest
  const [node, lease] = [bodyOf('kubelet of n1: gets its node'), bodyOf('kubelet of n1: its own lease')]
  for (const name of ['n1', 'n2']) {
    await make(target, '/api/v1/nodes', withoutIdentity(node, name))
    const leases = '/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases'
    await make(target, leases, withoutIdentity(lease, name))
  }
}

function withoutIdentity(object: Manifest, name: string): object {
  const {
    uid: _,
    resourceVersion: __,
    creationTimestamp: ___,
    managedFields: ____,
    ...metadata
  } = object.metadata as unknown as Record<string, unknown>
  const text = JSON.stringify({ ...object, metadata: { ...metadata, name, ownerReferences: [] } })
  return JSON.parse(text.replaceAll('<microtime>', '2026-01-01T00:00:00.000000Z')) as object
}

async function make(target: Target, path: string, object: object): Promise<void> {
  const { status, body } = await target.admin('POST', path, object)
  if (status !== 201) throw new Error(`${path}: ${status} ${JSON.stringify(body)}`)
}
