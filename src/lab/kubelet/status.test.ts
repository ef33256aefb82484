import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { gunzipSync } from 'node:zlib'
import { identify } from '../machines/machine.ts'
import type { RunningContainer, RunningPod } from './containers/running-pods.ts'
import { type ContainerStatus, containersOf, type Pod, type PodStatus } from './pod-spec.ts'
import { podStatus, type Waiting } from './status.ts'

const folder = join(import.meta.dirname, '../../../test/conformance/recorded/kubernetes-1.36')

interface Seen {
  readonly type: string
  readonly object: Pod & { readonly spec: unknown }
}
interface Entry {
  readonly name: string
  readonly sequence?: readonly Seen[]
  readonly request?: { readonly body?: Pod }
}

const read = (file: string): Entry[] =>
  JSON.parse(gunzipSync(readFileSync(join(folder, `${file}.json.gz`))).toString()) as Entry[]

type State = Readonly<Record<'running' | 'waiting' | 'terminated', Record<string, unknown> | undefined>>

/** A container that had the recorded state would have to be so. */
function containerFor(status: ContainerStatus): RunningContainer | undefined {
  const { running, waiting, terminated } = status.state as State
  const last = (status.lastState as State).terminated
  const process_ = identify(process.pid)
  const common = { process: process_, startedAt: '2026-01-01T00:00:00Z', restarts: status.restartCount }
  const ended = (of: Record<string, unknown>) => ({
    ended: { code: Number(of.exitCode), at: common.startedAt, message: String(of.message ?? '') },
  })
  const previous = last && { previous: { process: process_, startedAt: common.startedAt, ...ended(last) } }
  if (running !== undefined) return { ...common, ...previous }
  if (terminated !== undefined)
    return terminated.reason === 'ContainerStatusUnknown'
      ? undefined
      : { ...common, ...ended(terminated), ...previous }
  return waiting !== undefined && last !== undefined ? { ...common, ...ended(last) } : undefined
}

const ends = ['Succeeded', 'Failed']
const initial = ['ContainerCreating', 'PodInitializing']

/** Our status where the containers are as the recorded status says. */
function ours(pod: Pod, recorded: PodStatus): PodStatus {
  const statuses = [...(recorded.initContainerStatuses ?? []), ...(recorded.containerStatuses ?? [])]
  const containers = Object.fromEntries(
    statuses.flatMap((status) => {
      const container = containerFor(status)
      return container === undefined ? [] : [[status.name, container]]
    }),
  )
  const conditions = (recorded.conditions ?? []) as { type: string; status: string }[]
  const isOver = ['Failed', 'Succeeded'].includes(recorded.phase)
  const hasSandbox =
    isOver || conditions.some(({ type, status }) => type === 'PodReadyToStartContainers' && status === 'True')
  const running: RunningPod = {
    ...{ uid: 'u', namespace: 'life', name: pod.metadata.name, startedAt: '', containers },
    podIPs: (recorded.podIPs ?? []).map(({ ip }) => ip),
  }
  const waiting = new Map(
    statuses.flatMap(({ name, state }) => {
      const why = (state as State).waiting as unknown as Waiting | undefined
      return why === undefined || initial.includes(why.reason) ? [] : [[name, why] as const]
    }),
  )
  const of = (name: string): ContainerStatus | undefined => statuses.find((each) => each.name === name)
  return podStatus(pod, {
    ...{ scheme: 'lab', hostIP: recorded.hostIP ?? '', waiting, running: hasSandbox ? running : undefined },
    isOver: isOver && pod.metadata.deletionTimestamp !== undefined,
    isReady: ({ name }) => of(name)?.ready ?? false,
    hasStarted: ({ name }) => of(name)?.started ?? false,
  })
}

/** What clients read, without times, and without what a stand-in has of its own. */
function shown({ phase, conditions = [], initContainerStatuses = [], containerStatuses = [] }: PodStatus) {
  const withoutTimes = (value: unknown): unknown =>
    JSON.parse(
      JSON.stringify(value, (key, part: unknown) =>
        ['startedAt', 'finishedAt', 'containerID', 'lastTransitionTime', 'observedGeneration'].includes(key)
          ? undefined
          : part,
      ),
    )
  const statusOf = ({ name, state, lastState, ready, started, restartCount }: ContainerStatus) =>
    withoutTimes({ name, state, lastState, ready, started, restartCount })
  return {
    phase,
    /* In no order. */
    conditions: (withoutTimes(conditions) as { type: string }[]).sort((a, b) => (a.type < b.type ? -1 : 1)),
    init: initContainerStatuses.map(statusOf),
    containers: containerStatuses.map(statusOf),
  }
}

/** Pods whose status this kubelet does not write as a real one does. */
const listed: Readonly<Record<string, string>> = {
  sidecar: 'init containers that go on running are not known: such a pod stays in Init',
  deadline: 'activeDeadlineSeconds is not known',
  'too-big': 'pods are not refused for want of resources',
  'hostport-2': 'pods are not refused for a port of the node that is taken',
  hungry: 'there are no memory limits, so that nothing is OOMKilled',
  'no-command': 'a command that is not there ends with 127 instead of a StartError',
  tolerant: 'its conditions were written by the node controller, whose silence the lab has no pods for',
  stays: 'its conditions were written by the node controller, whose silence the lab has no pods for',
  elsewhere: 'pods are not refused for where they do not belong',
}

for (const file of ['node', 'node-2'])
  describe(`statuses of a real kubelet: ${file}`, () => {
    for (const { name, sequence = [], request } of read(file)) {
      const [, podName = ''] = /^pod ([\w-]+):/.exec(name) ?? []
      const spec = request?.body?.spec
      if (podName === '' || spec === undefined || sequence.length === 0) continue
      test(`${name}`, { skip: listed[podName] ?? false }, () => {
        let compared = 0
        for (const { object } of sequence) {
          const { status, metadata } = object
          if (status?.containerStatuses === undefined) continue
          const pod: Pod = { metadata, spec, status }
          assert.ok(containersOf(pod).length > 0)
          const [own, recorded] = [shown(ours(pod, status)), shown(status)]
          /* Between the end of its containers and that of its sandbox; ours writes both ends as one. */
          if (ends.includes(own.phase) && !ends.includes(recorded.phase)) continue
          assert.deepEqual(own, recorded, `at ${JSON.stringify(status.conditions)}`)
          compared++
        }
        if (podName !== 'unschedulable' && podName !== 'gated')
          assert.ok(compared > 0, 'nothing was compared')
      })
    }
  })
