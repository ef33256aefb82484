import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { lastWords } from './log-lines.ts'
import { explainPod, type PodEvent, type TroubledPod } from './pod-trouble.ts'

/** Pods and Events as a kubelet, a scheduler and controllers of version 1.36 wrote them. */
const recorded = JSON.parse(readFileSync(new URL('recorded-pods.json', import.meta.url), 'utf8')) as {
  readonly pods: readonly {
    readonly name: string
    readonly pod: TroubledPod
    readonly events: readonly PodEvent[]
  }[]
}

describe('why a pod is not ready is said, for a pod that', () => {
  const expected: Readonly<Record<string, RegExp>> = {
    crashes:
      /^pod crashes on n1: container c has ended with exit code 1; it ended before \(2 restarts\), the last time with exit code 1$/,
    'no-image': /waits: ErrImageNeverPull: Container image "localhost\/none:1" is not present/,
    'no-pull': /waits: ImagePullBackOff: .*connect: connection refused$/,
    'bad-name': /waits: InvalidImageName: .*repository name \(\/Name\) must be lowercase$/,
    'no-command':
      /waits: RunContainerError: .*exec: "\/no\/such".*the last time with exit code 128 \(StartError\)$/,
    'no-env': /waits: CreateContainerConfigError: configmap "none" not found$/,
    unwell: /waits: CrashLoopBackOff: .*exit code 137; Unhealthy: Liveness probe failed:$/,
    deaf: /runs, but is not ready; Unhealthy: Readiness probe failed: .*connection refused$/,
    unprepared: /^pod unprepared on n1: container one has ended with exit code 5$/,
    'too-big': /^pod too-big on n1: OutOfcpu: Pod was rejected: .*cpu, requested: 900000/,
    unschedulable:
      /^pod unschedulable on no node yet: Unschedulable: 0\/2 nodes are available: 2 Insufficient cpu/,
    hungry: /exit code 137 \(OOMKilled\)$/,
    gated: /SchedulingGated: Scheduling is blocked/,
    stays: /^pod stays on n2: NodeNotReady: Node is not ready$/,
    'no-volume':
      /waits: ContainerCreating; FailedCreatePodSandBox: .*failed to find plugin "no-such-plugin" in path/,
    'no-path':
      /waits: ContainerCreating; FailedMount: .*hostPath type check failed: \/none is not a directory$/,
    'no-network':
      /FailedCreatePodSandBox: .*failed to find plugin "no-such-plugin" in path \[\/usr\/lib\/cni \/opt\/cni\/bin\]$/,
  }
  test('was recorded: each of them', () => {
    assert.deepEqual(recorded.pods.map(({ pod }) => pod.metadata.name).sort(), Object.keys(expected).sort())
  })
  for (const { name, pod, events } of recorded.pods)
    test(name, () => assert.match(explainPod(pod, events) ?? '', expected[pod.metadata.name] ?? /^$/))
})

test('a ready pod has no trouble, whatever happened to it before', () => {
  const { pod, events } =
    recorded.pods.find((each) => each.pod.metadata.name === 'no-network') ?? assert.fail()
  const conditions = [{ type: 'Ready', status: 'True' }]
  assert.equal(explainPod({ ...pod, status: { conditions } }, events), undefined)
})

test('what was overcome is not the reason: a container that runs has its network', () => {
  const { pod, events } =
    recorded.pods.find((each) => each.pod.metadata.name === 'no-network') ?? assert.fail()
  const containerStatuses = [{ name: 'c', ready: false, state: { running: {} } }]
  assert.equal(
    explainPod({ ...pod, status: { containerStatuses } }, events),
    'pod no-network on n1: container c runs, but is not ready',
  )
})

test('events of another pod of the same name are not this one’s', () => {
  const { pod, events } = recorded.pods.find((each) => each.pod.metadata.name === 'no-path') ?? assert.fail()
  const metadata = { ...pod.metadata, uid: 'another' }
  assert.doesNotMatch(explainPod({ ...pod, metadata }, events) ?? '', /FailedMount/)
})

test('of a log the last warning counts, then the last line', () => {
  const line = (level: number, msg: string): string => JSON.stringify({ level, msg })
  assert.equal(lastWords([line(30, 'starts'), line(60, 'no slot'), line(30, 'ends')].join('\n')), 'no slot')
  assert.equal(lastWords(`${line(30, 'starts')}\n${line(30, 'loads')}\n`), 'loads')
  assert.equal(lastWords('sh: mount: not found\n'), 'sh: mount: not found')
  assert.equal(lastWords(''), '')
})
