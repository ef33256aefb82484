import type { JsonObject } from '../objects/api-object.ts'
import { badRequest, StatusError } from './status-error.ts'

/**
 * Kubernetes' protobuf, as far as kubectl insists on it: its imperative commands (create namespace, create role,
 * create token, auth can-i, drain …) send nothing else. Field numbers are those of the API's published .proto files.
 *
 *   envelope   'k8s\0', then Unknown { 1: TypeMeta { 1: apiVersion, 2: kind }, 2: the object's own bytes }
 */
interface Field {
  readonly name: string
  readonly type: 'text' | 'integer' | 'truth' | 'bytes' | 'stamp' | 'textMap' | 'bytesMap' | Message
  readonly isList?: true
}
type Message = Readonly<Record<number, Field>>

const one = (name: string, type: Field['type'] = 'text'): Field => ({ name, type })
const many = (name: string, type: Field['type'] = 'text'): Field => ({ name, type, isList: true })

const ownerReference: Message = {
  1: one('kind'),
  3: one('name'),
  4: one('uid'),
  5: one('apiVersion'),
  6: one('controller', 'truth'),
  7: one('blockOwnerDeletion', 'truth'),
}
const metadata: Message = {
  1: one('name'),
  2: one('generateName'),
  3: one('namespace'),
  5: one('uid'),
  6: one('resourceVersion'),
  8: one('creationTimestamp', 'stamp'),
  11: one('labels', 'textMap'),
  12: one('annotations', 'textMap'),
  13: many('ownerReferences', ownerReference),
  14: many('finalizers'),
}
const selectorExpression: Message = { 1: one('key'), 2: one('operator'), 3: many('values') }
const labelSelector: Message = {
  1: one('matchLabels', 'textMap'),
  2: many('matchExpressions', selectorExpression),
}
const containerPort: Message = {
  1: one('name'),
  2: one('hostPort', 'integer'),
  3: one('containerPort', 'integer'),
  4: one('protocol'),
  5: one('hostIP'),
}
const container: Message = {
  1: one('name'),
  2: one('image'),
  3: many('command'),
  4: many('args'),
  5: one('workingDir'),
  6: many('ports', containerPort),
  7: many('env', { 1: one('name'), 2: one('value') }),
}
const podSpec: Message = {
  2: many('containers', container),
  3: one('restartPolicy'),
  7: one('nodeSelector', 'textMap'),
  8: one('serviceAccountName'),
  10: one('nodeName'),
}
const policyRule: Message = {
  1: many('verbs'),
  2: many('apiGroups'),
  3: many('resources'),
  4: many('resourceNames'),
  5: many('nonResourceURLs'),
}
const subject: Message = { 1: one('kind'), 2: one('apiGroup'), 3: one('name'), 4: one('namespace') }
const roleRef: Message = { 1: one('apiGroup'), 2: one('kind'), 3: one('name') }
const role: Message = { 1: one('metadata', metadata), 2: many('rules', policyRule) }
const binding: Message = {
  1: one('metadata', metadata),
  2: many('subjects', subject),
  3: one('roleRef', roleRef),
}
const deleteOptions: Message = {
  1: one('gracePeriodSeconds', 'integer'),
  2: one('preconditions', { 1: one('uid'), 2: one('resourceVersion') }),
  4: one('propagationPolicy'),
  5: many('dryRun'),
}
const deploymentSpec: Message = {
  1: one('replicas', 'integer'),
  2: one('selector', labelSelector),
  3: one('template', { 1: one('metadata', metadata), 2: one('spec', podSpec) }),
}
const tokenSpec: Message = { 1: many('audiences'), 4: one('expirationSeconds', 'integer') }
const attributes: Message = {
  1: one('namespace'),
  2: one('verb'),
  3: one('group'),
  4: one('version'),
  5: one('resource'),
  6: one('subresource'),
  7: one('name'),
}
const accessSpec: Message = {
  1: one('resourceAttributes', attributes),
  2: one('nonResourceAttributes', { 1: one('path'), 2: one('verb') }),
}

const messages: Readonly<Record<string, Message>> = {
  Namespace: { 1: one('metadata', metadata) },
  ServiceAccount: { 1: one('metadata', metadata) },
  ConfigMap: {
    1: one('metadata', metadata),
    2: one('data', 'textMap'),
    3: one('binaryData', 'bytesMap'),
    4: one('immutable', 'truth'),
  },
  Secret: {
    1: one('metadata', metadata),
    2: one('data', 'bytesMap'),
    3: one('type'),
    4: one('stringData', 'textMap'),
    5: one('immutable', 'truth'),
  },
  Deployment: { 1: one('metadata', metadata), 2: one('spec', deploymentSpec) },
  Role: role,
  ClusterRole: role,
  RoleBinding: binding,
  ClusterRoleBinding: binding,
  Eviction: { 1: one('metadata', metadata), 2: one('deleteOptions', deleteOptions) },
  DeleteOptions: deleteOptions,
  TokenRequest: { 1: one('metadata', metadata), 2: one('spec', tokenSpec) },
  SelfSubjectAccessReview: { 1: one('metadata', metadata), 2: one('spec', accessSpec) },
  SelfSubjectRulesReview: { 1: one('metadata', metadata), 2: one('spec', { 1: one('namespace') }) },
  SelfSubjectReview: { 1: one('metadata', metadata) },
}

const magic = Buffer.from('k8s\0')
const envelope: Message = { 1: one('type', { 1: one('apiVersion'), 2: one('kind') }), 2: one('raw', 'bytes') }

/** Throws UnsupportedMediaType for a kind that is not in the table, and BadRequest for bytes that are no protobuf. */
export function decodeProtobuf(bytes: Buffer): JsonObject {
  if (!bytes.subarray(0, 4).equals(magic)) throw badRequest('the body is not Kubernetes protobuf')
  const { type, raw } = decodeMessage(bytes.subarray(4), envelope) as {
    type?: { apiVersion?: string; kind?: string }
    raw?: string
  }
  const message = messages[type?.kind ?? '']
  if (message === undefined)
    throw new StatusError(
      415,
      'UnsupportedMediaType',
      `this API server reads ${type?.kind} as JSON and YAML, not as protobuf: write the object to a file and use kubectl apply -f`,
    )
  return { ...type, ...decodeMessage(Buffer.from(raw ?? '', 'base64'), message) }
}

function decodeMessage(bytes: Buffer, message: Message): JsonObject {
  const result: JsonObject = {}
  for (const { number, value } of wireFields(bytes)) {
    const field = message[number]
    if (field === undefined) continue
    const decoded = decodeValue(value, field.type)
    if (field.type === 'textMap' || field.type === 'bytesMap')
      result[field.name] = { ...(result[field.name] as object), ...(decoded as object) }
    else if (field.isList) result[field.name] = [...((result[field.name] ?? []) as unknown[]), decoded]
    else if (decoded !== undefined && decoded !== '') result[field.name] = decoded
  }
  return result
}

function decodeValue(value: Buffer | bigint, type: Field['type']): unknown {
  if (typeof value === 'bigint') return type === 'truth' ? value !== 0n : Number(BigInt.asIntN(64, value))
  switch (type) {
    case 'text':
      return value.toString('utf8')
    case 'bytes':
      return value.toString('base64')
    case 'stamp': {
      const { seconds } = decodeMessage(value, { 1: one('seconds', 'integer') })
      return typeof seconds === 'number' ? new Date(seconds * 1000).toISOString() : undefined
    }
    case 'textMap':
    case 'bytesMap': {
      const text = type === 'textMap' ? 'text' : 'bytes'
      const { key = '', value: of = '' } = decodeMessage(value, { 1: one('key'), 2: one('value', text) })
      return { [String(key)]: of }
    }
    case 'integer':
    case 'truth':
      throw badRequest('the body is not Kubernetes protobuf: a number is something else')
    default:
      return decodeMessage(value, type)
  }
}

/** Varints and length-delimited fields; the fixed widths are skipped, as none of the fields above has them. */
function* wireFields(bytes: Buffer): Generator<{ number: number; value: Buffer | bigint }> {
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = bytes[at++]
      if (byte === undefined) break
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return value
    }
    throw badRequest('the body is not Kubernetes protobuf: it ends in the middle of a number')
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    const number = Math.floor(tag / 8)
    switch (tag % 8) {
      case 0:
        yield { number, value: varint() }
        break
      case 1:
        at += 8
        break
      case 2: {
        const length = Number(varint())
        if (length > bytes.length - at) throw badRequest('the body is not Kubernetes protobuf: it is cut off')
        yield { number, value: bytes.subarray(at, at + length) }
        at += length
        break
      }
      case 5:
        at += 4
        break
      default:
        throw badRequest(`the body is not Kubernetes protobuf: wire type ${tag % 8}`)
    }
  }
}
