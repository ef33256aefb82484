import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { lastMessage } from './log-lines.ts'
import { explainPod, type PodEvent, type TroubledPod } from './pod-trouble.ts'

/** Pods and Events as a kubelet, a scheduler and controllers of version 1.36 wrote them. */
const recorded = JSON.parse(readFileSync(new URL('recorded-pods.json', import.meta.url), 'utf8')) as {
  readonly pods: readonly {
    readonly name: string
    readonly pod: TroubledPod
    readonly events: readonly PodEvent[]
  }[]
}

describe('an explanation names the cause for a pod that', () => {
  const expected: Readonly<Record<string, RegExp>> = {
    crashes:
      /^pod crashes on n1: container c has terminated with exit code 1; before that \(2 restarts\) it terminated with exit code 1$/,
    'no-image': /is waiting: ErrImageNeverPull: Container image "localhost\/none:1" is not present/,
    'no-pull': /is waiting: ImagePullBackOff: .*connect: connection refused$/,
    'bad-name': /is waiting: InvalidImageName: .*repository name \(\/Name\) must be lowercase$/,
    'no-command':
      /is waiting: RunContainerError: .*exec: "\/no\/such".*it terminated with exit code 128 \(StartError\)$/,
    'no-env': /is waiting: CreateContainerConfigError: configmap "none" not found$/,
    unwell: /is waiting: CrashLoopBackOff: .*exit code 137; Unhealthy: Liveness probe failed:$/,
    deaf: /is running but not ready; Unhealthy: Readiness probe failed: .*connection refused$/,
    unprepared: /^pod unprepared on n1: container one has terminated with exit code 5$/,
    'too-big': /^pod too-big on n1: OutOfcpu: Pod was rejected: .*cpu, requested: 900000/,
    unschedulable:
      /^pod unschedulable without a node: Unschedulable: 0\/2 nodes are available: 2 Insufficient cpu/,
    hungry: /exit code 137 \(OOMKilled\)$/,
    gated: /SchedulingGated: Scheduling is blocked/,
    stays: /^pod stays on n2: NodeNotReady: Node is not ready$/,
    'no-volume':
      /is waiting: ContainerCreating; FailedCreatePodSandBox: .*failed to find plugin "no-such-plugin" in path/,
    'no-path':
      /is waiting: ContainerCreating; FailedMount: .*hostPath type check failed: \/none is not a directory$/,
    'no-network':
      /FailedCreatePodSandBox: .*failed to find plugin "no-such-plugin" in path \[\/usr\/lib\/cni \/opt\/cni\/bin\]$/,
  }
  test('was recorded, for every expectation here', () => {
    assert.deepEqual(recorded.pods.map(({ pod }) => pod.metadata.name).sort(), Object.keys(expected).sort())
  })
  for (const { name, pod, events } of recorded.pods)
    test(name, () => assert.match(explainPod(pod, events) ?? '', expected[pod.metadata.name] ?? /^$/))
})

test('a ready pod has no explanation, whatever happened to it before', () => {
  const { pod, events } =
    recorded.pods.find((each) => each.pod.metadata.name === 'no-network') ?? assert.fail()
  const conditions = [{ type: 'Ready', status: 'True' }]
  assert.equal(explainPod({ ...pod, status: { conditions } }, events), undefined)
})

test('the explanation of a running pod ignores earlier Events about its network', () => {
  const { pod, events } =
    recorded.pods.find((each) => each.pod.metadata.name === 'no-network') ?? assert.fail()
  const containerStatuses = [{ name: 'c', ready: false, state: { running: {} } }]
  assert.equal(
    explainPod({ ...pod, status: { containerStatuses } }, events),
    'pod no-network on n1: container c is running but not ready',
  )
})

test('the explanation ignores Events of another pod of the same name', () => {
  const { pod, events } = recorded.pods.find((each) => each.pod.metadata.name === 'no-path') ?? assert.fail()
  const metadata = { ...pod.metadata, uid: 'another' }
  assert.doesNotMatch(explainPod({ ...pod, metadata }, events) ?? '', /FailedMount/)
})

test('the last message of a log is its last warning, or else its last line', () => {
  const line = (level: number, msg: string): string => JSON.stringify({ level, msg })
  assert.equal(lastMessage([line(30, 'starts'), line(60, 'no slot'), line(30, 'ends')].join('\n')), 'no slot')
  assert.equal(lastMessage(`${line(30, 'starts')}\n${line(30, 'loads')}\n`), 'loads')
  assert.equal(lastMessage('sh: mount: not found\n'), 'sh: mount: not found')
  assert.equal(lastMessage(''), '')
})
