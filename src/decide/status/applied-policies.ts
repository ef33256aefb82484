import { digestGrants, digestPolicies, grantsOf, type Policy, versionOf } from '../policies/policies.ts'
import { policyKey } from '../policies/selected-pods.ts'
import type { World, WorldNode } from '../world.ts'
import type { TimelessCondition } from './conditions.ts'
import { someNames } from './some-names.ts'

/**
 * Which nodes have applied which policies. Each agent reports one digest of all policies that it has applied, because a report for each
 * policy would be as large as the list of policies. The operator remembers the digests of the sets that it has seen, in their order. A node has
 * applied an edit of a policy if its digest is not older than that edit.
 */
interface AppliedMemory {
  /** The number of the present set. */
  readonly sequence: number
  /** The numbers of the last sets, by digest. */
  readonly sets: ReadonlyMap<string, number>
  /** By the policy's version. */
  readonly versions: ReadonlyMap<string, Version>
}

interface Version {
  /** The number of the first set that has it. */
  readonly sequence: number
  readonly sinceMs: number
  /** Undefined while nodes are waited for. Then: the names of those that were not waited for, as long as they have not applied it. */
  readonly behind: readonly string[] | undefined
}

/** The nodes that have not applied a policy yet. */
export interface Lag {
  /** Names of nodes that should apply it any moment. */
  readonly waiting: readonly string[]
  /** Names of nodes that did not apply it in time, or are not Ready. */
  readonly behind: readonly string[]
}

const startOfMemory: AppliedMemory = { sequence: 0, sets: new Map(), versions: new Map() }

const maxSets = 256
/** An agent reports within seconds, in a large cluster later: agent/paced-report.ts. */
const waitMs = 30_000
const waitPerNodeMs = 200

type Seen = Pick<World, 'nodes' | 'egressNodes' | 'ciliumPolicies' | 'isovalentPolicies'>

type AnyPolicy = Seen['ciliumPolicies'][number] | Seen['isovalentPolicies'][number]

interface Node extends Pick<WorldNode, 'name' | 'isReady'> {
  readonly digest: string
}

/** What nodes apply of policies, one kind of change each, because agents of earlier versions report the first alone. */
interface Followed {
  readonly digest: (policies: readonly Policy[]) => string
  readonly versionOf: (policy: Policy) => string
  readonly field: 'appliedPolicies' | 'appliedAddresses'
}

const edits: Followed = { digest: digestPolicies, versionOf, field: 'appliedPolicies' }
const grants: Followed = {
  digest: digestGrants,
  versionOf: (policy) => `${policy.id.toString(16)} ${grantsOf(policy)}`,
  field: 'appliedAddresses',
}

/** Of the edits of policies, and of the addresses that gateways got from pools. */
export interface AppliedMemories {
  readonly edits: AppliedMemory
  readonly grants: AppliedMemory
}

export const startOfApplied: AppliedMemories = { edits: startOfMemory, grants: startOfMemory }

interface Noted<Memory> {
  readonly memory: Memory
  readonly lags: ReadonlyMap<string, Lag>
}

export function noteApplied(
  before: AppliedMemories,
  world: Seen,
  policies: readonly Policy[],
  nowMs: number,
): Noted<AppliedMemories> {
  const [ofEdits, ofGrants] = [
    note(edits, before.edits, world, policies, nowMs),
    note(grants, before.grants, world, policies, nowMs),
  ]
  const union = (one: readonly string[], other: readonly string[] = []) => [...new Set([...one, ...other])]
  return {
    memory: { edits: ofEdits.memory, grants: ofGrants.memory },
    lags: new Map(
      [...ofEdits.lags].map(([key, { waiting, behind }]) => {
        const other = ofGrants.lags.get(key)
        return [key, { waiting: union(waiting, other?.waiting), behind: union(behind, other?.behind) }]
      }),
    ),
  }
}

function note(
  { digest: digestOf, versionOf, field }: Followed,
  before: AppliedMemory,
  world: Seen,
  policies: readonly Policy[],
  nowMs: number,
): Noted<AppliedMemory> {
  const digest = digestOf(policies)
  const isPresent = before.sets.get(digest) === before.sequence
  const sequence = isPresent ? before.sequence : before.sequence + 1
  const sets = new Map(
    [...[...before.sets].filter(([each]) => each !== digest), [digest, sequence] as const].slice(-maxSets),
  )
  const nodes = nodesWithDigest(world, field)
  const overdueMs = waitMs + waitPerNodeMs * world.nodes.length
  const settled = settledBefore(world, namesOf(nodes))
  const versions = policies.map((policy) => {
    const key = policyKey(policy)
    const known = before.versions.get(versionOf(policy)) ?? {
      sequence,
      sinceMs: nowMs,
      behind: settled.get(key),
    }
    /* Nearly always. In a large cluster, all nodes for each policy would be many. */
    if (known.behind?.length === 0) return { policy, version: known, waiting: [] }
    const isBehind = ({ digest: of }: Node): boolean => (sets.get(of) ?? -1) < known.sequence
    const lagging = nodes.filter(isBehind)
    const behind = known.behind?.filter((name) => lagging.some((node) => node.name === name))
    if (behind !== undefined) return { policy, version: { ...known, behind }, waiting: [] }
    const isOverdue = nowMs - known.sinceMs >= overdueMs
    const waiting = isOverdue ? [] : namesOf(lagging.filter(({ isReady }) => isReady !== false))
    return {
      policy,
      version: { ...known, behind: waiting.length === 0 ? namesOf(lagging) : undefined },
      waiting,
    }
  })
  return {
    memory: {
      sequence,
      sets,
      versions: new Map(versions.map(({ policy, version }) => [versionOf(policy), version])),
    },
    lags: new Map(
      versions.map(({ policy, version, waiting }) => [
        policyKey(policy),
        { waiting, behind: version.behind ?? [] },
      ]),
    ),
  }
}

const namesOf = (nodes: readonly Node[]): readonly string[] => nodes.map(({ name }) => name)

/** Agents of earlier versions report no digest, so nobody waits for them. */
function nodesWithDigest({ nodes, egressNodes }: Seen, field: Followed['field']): readonly Node[] {
  const digests = new Map(egressNodes.map(({ metadata, status }) => [metadata.name, status?.[field]]))
  return nodes.flatMap(({ name, isReady }) => {
    const digest = digests.get(name)
    return digest === undefined ? [] : [{ name, isReady, digest } as Node]
  })
}

/** Policies that were Ready as they are now need not wait again for another leader. By the policy's kind and name: which nodes may be behind. */
function settledBefore(
  { ciliumPolicies, isovalentPolicies }: Seen,
  all: readonly string[],
): ReadonlyMap<string, readonly string[]> {
  const settled = (kind: Policy['kind'], { metadata: { name, generation }, status }: AnyPolicy) => {
    const told = (type: string) => status?.conditions?.find((each) => each.type === type)
    const ready = told('Ready')
    const isSettled = ready?.status === 'True' && ready.observedGeneration === generation
    return isSettled
      ? [[policyKey({ kind, name }), told('NodesBehind') === undefined ? [] : all] as const]
      : []
  }
  return new Map([
    ...ciliumPolicies.flatMap((policy) => settled('CiliumEgressGatewayPolicy', policy)),
    ...isovalentPolicies.flatMap((policy) => settled('IsovalentEgressGatewayPolicy', policy)),
  ])
}

/** The conditions of a policy that some nodes have not applied. It is Ready only when all nodes that should have applied it have done so. */
export function withLag(
  conditions: readonly TimelessCondition[],
  lag: Lag | undefined,
): readonly TimelessCondition[] {
  if (lag === undefined) return conditions
  return [
    ...conditions.map((condition) =>
      condition.type === 'Ready' && condition.status === 'True' && lag.waiting.length > 0
        ? ({
            type: 'Ready',
            status: 'False',
            reason: 'Applying',
            message:
              'Not all nodes have applied this policy yet. Pods on the others leave as before. Wait a few seconds.',
          } as const)
        : condition,
    ),
    ...(lag.behind.length === 0
      ? []
      : [
          {
            type: 'NodesBehind',
            status: 'True',
            reason: 'PolicyNotApplied',
            message: `Nodes ${someNames(lag.behind)} have not applied this policy as it is now. Pods there leave as before. Check that the agents of these nodes run and reach the API server.`,
          } as const,
        ]),
  ]
}
