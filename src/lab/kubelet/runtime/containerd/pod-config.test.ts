import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Container, Pod } from '../../pod-spec.ts'
import type { ContainerStart } from '../runtime.ts'
import { containerConfig, sandboxConfig } from './pod-config.ts'

/* What the runtime is asked for, from what a pod says. */

interface Asked {
  readonly linux: {
    readonly resources: { readonly cpu_shares: number }
    readonly security_context: Readonly<Record<string, unknown>>
  }
  readonly mounts: readonly Readonly<Record<string, unknown>>[]
}

function ask(
  container: Partial<Container>,
  spec: Partial<Pod['spec']> = {},
  binds: ContainerStart['binds'] = [],
): Asked {
  const whole: Container = { name: 'c', image: 'busybox', ...container }
  const pod: Pod = { metadata: { name: 'p', uid: 'u' }, spec: { containers: [whole], ...spec } }
  const running = { uid: 'u', namespace: 'default', name: 'p', podIPs: [], startedAt: '', containers: {} }
  return containerConfig(
    {
      ...{ pod, running, container: whole, restarts: 0, env: {}, binds, logFile: '' },
      ...{ command: undefined, args: undefined },
    },
    'c_0.log',
  ) as Asked
}

const securityContexts: readonly {
  readonly name: string
  readonly container?: Partial<Container>
  readonly spec?: Partial<Pod['spec']>
  readonly expect: Readonly<Record<string, unknown>>
}[] = [
  {
    name: 'a pod that says nothing runs as the image’s user, under the runtime’s seccomp profile',
    expect: { run_as_user: undefined, privileged: false, seccomp: { profile_type: 'RuntimeDefault' } },
  },
  {
    name: 'capabilities are added and dropped as the container says',
    container: { securityContext: { capabilities: { add: ['BPF'], drop: ['ALL'] } } },
    expect: { capabilities: { add_capabilities: ['BPF'], drop_capabilities: ['ALL'] } },
  },
  {
    name: 'the container’s user wins over the pod’s',
    container: { securityContext: { runAsUser: 65532 } },
    spec: { securityContext: { runAsUser: 1 } },
    expect: { run_as_user: { value: 65532 } },
  },
  {
    name: 'a read-only root file system and no new privileges are passed on',
    container: { securityContext: { readOnlyRootFilesystem: true, allowPrivilegeEscalation: false } },
    expect: { readonly_rootfs: true, no_new_privs: true },
  },
  {
    name: 'a privileged container sees all of /proc, without a seccomp profile',
    container: { securityContext: { privileged: true } },
    expect: {
      ...{ privileged: true, masked_paths: [], readonly_paths: [] },
      seccomp: { profile_type: 'Unconfined' },
    },
  },
  {
    name: 'a pod in the node’s network is in it with each container',
    spec: { hostNetwork: true },
    expect: { namespace_options: { network: 'NODE', pid: 'CONTAINER', ipc: 'POD' } },
  },
]
for (const { name, container = {}, spec = {}, expect } of securityContexts)
  test(`a container’s security: ${name}`, () => {
    const asked = ask(container, spec).linux.security_context
    for (const [key, value] of Object.entries(expect)) assert.deepEqual(asked[key], value, key)
  })

test('a mount keeps its propagation, and a filled volume is read-only', () => {
  const { mounts } = ask({}, {}, [
    { source: '/run/netns', target: '/run/netns', isReadOnly: false, propagation: 'HostToContainer' },
    { source: '/v', target: '/etc/v', isReadOnly: true, propagation: 'None' },
  ])
  assert.deepEqual(
    mounts.map(({ propagation, readonly }) => [propagation, readonly]),
    [
      ['PROPAGATION_HOST_TO_CONTAINER', false],
      ['PROPAGATION_PRIVATE', true],
    ],
  )
})

for (const [cpu, shares] of [
  ['50m', 51],
  ['2', 2048],
  ['1m', 2],
] as const)
  test(`a request for ${cpu} of a CPU is ${shares} shares`, () =>
    assert.equal(ask({ resources: { requests: { cpu } } }).linux.resources.cpu_shares, shares))

test('a pod in the node’s network keeps the node’s name', () => {
  const pod = (hostNetwork: boolean): Pod => ({
    metadata: { name: 'p', uid: 'u' },
    spec: { hostNetwork, containers: [] },
  })
  assert.equal((sandboxConfig(pod(false), '') as { hostname?: string }).hostname, 'p')
  assert.equal((sandboxConfig(pod(true), '') as { hostname?: string }).hostname, undefined)
})

test('a pod with a privileged init container has a sandbox that admits it', () => {
  const privileged: Container = { name: 'i', image: 'busybox', securityContext: { privileged: true } }
  const spec = { initContainers: [privileged], containers: [{ name: 'c', image: 'busybox' }] }
  const asked = sandboxConfig({ metadata: { name: 'p', uid: 'u' }, spec }, '') as {
    linux: { security_context: { privileged: boolean } }
  }
  assert.equal(asked.linux.security_context.privileged, true)
})
