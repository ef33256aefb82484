import type { KubeClient, KubeObject } from '../../../kube/client.ts'
import { coreResource } from '../../../kube/cluster-objects.ts'
import { isNotFound } from '../../../kube/kube-error.ts'
import type { Container, EnvironmentVariable, KeyReference, Pod } from '../pod-spec.ts'
import type { KeyedObject } from '../volumes/volume-files.ts'
import { type Allocatable, fieldOf, type PodAddresses, resourceOf } from './downward.ts'

type Environment = Readonly<Record<string, string>>

/** The pod refers to something that is missing. Its container waits and reports what is missing. */
export class ConfigProblem extends Error {}

/** The environment of a container. Each variable comes after those that it may refer to. */
export async function environmentOf(
  client: KubeClient,
  pod: Pod,
  container: Container,
  addresses: PodAddresses,
  allocatable: Allocatable,
  given: Environment,
): Promise<Environment> {
  const { namespace = 'default' } = pod.metadata
  const env: Record<string, string> = { ...given }
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    const values = configMapRef
      ? await valuesOf(client, 'configmaps', namespace, configMapRef)
      : secretRef && (await valuesOf(client, 'secrets', namespace, secretRef))
    for (const [key, value] of Object.entries(values ?? {})) env[`${prefix}${key}`] = value
  }
  for (const variable of container.env ?? []) {
    const value = await variableOf(client, pod, container, variable, addresses, allocatable)
    if (value !== undefined) env[variable.name] = expand(value, env)
  }
  return env
}

async function variableOf(
  client: KubeClient,
  pod: Pod,
  container: Container,
  { value, valueFrom = {} }: EnvironmentVariable,
  addresses: PodAddresses,
  allocatable: Allocatable,
): Promise<string | undefined> {
  const { namespace = 'default' } = pod.metadata
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = valueFrom
  if (fieldRef !== undefined) {
    const text = fieldOf(pod, fieldRef.fieldPath, addresses)
    if (text === undefined) throw new ConfigProblem(`unsupported fieldPath: ${fieldRef.fieldPath}`)
    return text
  }
  if (resourceFieldRef !== undefined) return resourceOf(container, resourceFieldRef, allocatable)
  const reference = configMapKeyRef ?? secretKeyRef
  if (reference === undefined) return value ?? ''
  const plural = configMapKeyRef === undefined ? 'secrets' : 'configmaps'
  const found = (await valuesOf(client, plural, namespace, reference))[reference.key]
  if (found === undefined && !reference.optional)
    throw new ConfigProblem(
      `couldn't find key ${reference.key} in ${kindNames[plural].title} ${namespace}/${reference.name}`,
    )
  return found
}

const kindNames = {
  configmaps: { title: 'ConfigMap', lower: 'configmap' },
  secrets: { title: 'Secret', lower: 'secret' },
} as const

async function valuesOf(
  client: KubeClient,
  plural: keyof typeof kindNames,
  namespace: string,
  { name, optional = false }: KeyReference,
): Promise<Environment> {
  try {
    const { data = {} } = await client
      .resource<KubeObject & KeyedObject>(coreResource(plural, true))
      .get(name, namespace)
    if (plural === 'configmaps') return data
    const decoded = Object.entries(data).map(([key, value]) => [key, Buffer.from(value, 'base64').toString()])
    return Object.fromEntries(decoded) as Environment
  } catch (error) {
    if (!isNotFound(error)) throw error
    if (optional) return {}
    throw new ConfigProblem(`${kindNames[plural].lower} "${name}" not found`)
  }
}

/** `$(NAME)` is the variable's value, `$$(NAME)` is itself, and what is not known stays as it is. */
export function expand(text: string, env: Environment): string {
  return text.replaceAll(/\$\$|\$\(([^()]*)\)/g, (whole, name: string | undefined) =>
    name === undefined ? '$' : (env[name] ?? whole),
  )
}
