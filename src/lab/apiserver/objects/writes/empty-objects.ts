import type { ApiObject, JsonObject } from '../api-object.ts'
import { apiVersionOf, type ResourceKind } from '../resources.ts'

const podTemplate = { metadata: {}, spec: { containers: null } }

/** Fields of built-in kinds that are never left out: Go writes them even when they are empty. */
const present: Readonly<Record<string, JsonObject>> = {
  Pod: { spec: { containers: null }, status: {} },
  Deployment: { spec: { selector: null, strategy: {}, template: podTemplate }, status: {} },
  DaemonSet: { spec: { selector: null, updateStrategy: {}, template: podTemplate }, status: {} },
  StatefulSet: { spec: { selector: null, updateStrategy: {}, template: podTemplate }, status: {} },
  ReplicaSet: { spec: { selector: null, template: podTemplate }, status: {} },
  Namespace: { spec: { finalizers: ['kubernetes'] }, status: { phase: 'Active' } },
  Service: { spec: {}, status: { loadBalancer: {} } },
  CustomResourceDefinition: {
    spec: { group: '', names: { plural: '', kind: '' }, scope: '', versions: null },
    status: { conditions: null, acceptedNames: { plural: '', kind: '' }, storedVersions: null },
  },
}
const usual: JsonObject = { spec: {}, status: {} }

/** What the fields of a new object of this kind are compared with, to tell which of them its creator owns. */
export function emptyObject(kind: ResourceKind): ApiObject {
  const fields = kind.custom === undefined ? (present[kind.kind] ?? usual) : {}
  return { apiVersion: apiVersionOf(kind), kind: kind.kind, metadata: { name: '' }, ...fields }
}
