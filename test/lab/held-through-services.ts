import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { dockerRun } from '../../src/lab/docker/docker.ts'
import { type LabState, requireLab } from '../../src/lab/lab-state.ts'
import { ipv4Of } from '../../src/lab/layout.ts'
import type { Held, Seen } from '../support/held-connections.ts'
import { holdBinary } from '../support/hold-program.ts'
import { eventually, processesOf, type } from './lab-under-test.ts'

/*
 * Connections of a pod through one Service, while much else changes: with an endpoint on the pod's node and on another one, or with endpoints
 * outside the cluster.
 */

const port = 9100
const clusterIp = '10.96.7.200'
const bystanders = 20

/** Where the servers run. `passing` comes and goes, so it has only short connections. */
const servers = { 'held-near': 'kind-worker', 'held-far': 'kind-worker2', 'held-passing': 'kind-worker2' }
type Server = keyof typeof servers
const lasting: readonly Server[] = ['held-near', 'held-far']
const all = Object.keys(servers) as Server[]

/** The endpoints listen at each of the ports. */
const serviceOf = (
  name: string,
  clusterIP: string,
  endpoints: readonly string[],
  ports = [port],
): readonly object[] => [
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { clusterIP, ports: [{ name: 'held', port: 80 }] },
  },
  ...ports.map((each, index) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-${index + 1}`, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: 'held', port: each, protocol: 'TCP' }],
    endpoints: endpoints.map((address) => ({ addresses: [address] })),
  })),
]

const typed = (verb: string, objects: readonly object[]): string =>
  `kubectl ${verb} -f - <<'END'\n${objects.map((each) => JSON.stringify(each)).join('\n---\n')}\nEND`

export interface HeldThrough {
  readonly held: Held
  /** Connections that each server took, by server, and from which addresses. */
  readonly taken: Readonly<Record<Server, number>>
  readonly sources: ReadonlySet<string>
}

/** Starts the servers, holds connections of the pod, and meanwhile restarts agents and changes endpoints. */
export async function holdThroughServices(
  state: LabState,
  pod: string,
  { connections, seconds }: { readonly connections: number; readonly seconds: number },
): Promise<HeldThrough> {
  const run = (command: string): Promise<string> => type(state, command)
  for (const [name, nodeName] of Object.entries(servers)) {
    const overrides = JSON.stringify({ spec: { nodeName } })
    await run(
      `kubectl run ${name} --image busybox --overrides '${overrides}' --command -- ${holdBinary} serve ${port} 1`,
    )
  }
  await run(`kubectl wait --for=condition=Ready ${all.map((each) => `pod/${each}`).join(' ')} --timeout=60s`)
  const addresses = new Map<Server, string>()
  for (const each of all)
    addresses.set(each, await run(`kubectl get pod ${each} -o jsonpath={.status.podIP}`))
  const sourcesAt = async (server: Server): Promise<Seen['sources']> =>
    (JSON.parse(await run(`kubectl exec ${server} -- bash -c 'exec 3<>/dev/tcp/127.0.0.1/${port - 1}; cat <&3'`)) as Seen).sources // biome-ignore format: one row
  const takenBy = async (server: Server): Promise<number> =>
    Object.values(await sourcesAt(server)).reduce((sum, count) => sum + count, 0)
  const setEndpoints = (of: readonly Server[]): Promise<string> =>
    run(typed('apply', serviceOf('held', clusterIp, of.map((each) => addresses.get(each) ?? '')))) // biome-ignore format: one row
  const others = Array.from({ length: bystanders }, (_, index) =>
    serviceOf(`bystander-${index}`, `10.96.7.${100 + index}`, [addresses.get('held-passing') ?? '']),
  ).flat()

  await setEndpoints(lasting)
  await eventually('the agents know the Service', async () =>
    (await run(`kubectl exec ${pod} -- bash -c 'timeout 1 bash -c "exec 3<>/dev/tcp/${clusterIp}/80" && echo open || true'`)).includes('open'),
  ) // biome-ignore format: one row
  let isOver = false
  const holding = run(
    `kubectl exec ${pod} -- ${holdBinary} run ${clusterIp} 80 1 ${connections} 100 ${seconds}`,
  ).finally(() => {
    isOver = true
  })
  const passingGets = async (): Promise<void> => {
    const before = await takenBy('held-passing')
    await eventually('new connections reach the endpoint that came', async () =>
      isOver || (await takenBy('held-passing')) > before,
    ) // biome-ignore format: short
  }
  const change = async (): Promise<void> => {
    await eventually('all connections are open', async () =>
      isOver || (await takenBy('held-near')) + (await takenBy('held-far')) >= connections,
    ) // biome-ignore format: short
    await setEndpoints(all)
    await run(typed('apply', others))
    await passingGets()
    await restartAgents(state, ['kind-worker', 'kind-worker2'], async () => {
      await setEndpoints(lasting)
      await run(typed('delete --wait=false', others))
    })
    /* The endpoint stays. At the end, the client uses each connection once more. One that lost its endpoint would get another of more endpoints than before. */
    await setEndpoints(all)
    await passingGets()
    assert.equal(isOver, false, `all that was to change has changed within ${seconds} s`)
  }
  const [output] = await Promise.all([holding, change()])
  const seen = await Promise.all(all.map(sourcesAt))
  const taken = Object.fromEntries(
    all.map((each, index) => [each, Object.values(seen[index] ?? {}).reduce((sum, count) => sum + count, 0)]),
  ) as Record<Server, number>
  return { held: heldIn(output), taken, sources: new Set(seen.flatMap(Object.keys)) }
}

/** The line of results in what the client printed. */
function heldIn(output: string): Held {
  return JSON.parse(output.split('\n').find((each) => each.startsWith('{')) ?? '{}') as Held
}

const outsideIp = '10.96.7.201'
/** A node has 64 ports of an egress IP for each destination from the start. The new connections, 200 a second, need them, too. */
const destinationsFor = (connections: number): number => Math.max(100, connections / 25)

/**
 * Holds connections of the pod through a Service that leads outside, and meanwhile kills the gateway with everything that runs there. That
 * node does not come back.
 */
export async function holdThroughDeath(
  state: LabState,
  { pod, gateway }: { readonly pod: string; readonly gateway: string },
  { connections, seconds }: { readonly connections: number; readonly seconds: number },
): Promise<{ readonly held: Held; readonly sources: Seen['sources'] }> {
  const run = (command: string): Promise<string> => type(state, command)
  const ports = Array.from({ length: destinationsFor(connections) }, (_, index) => port + index)
  await dockerRun(state, {
    name: 'held-outside',
    image: 'busybox',
    environment: [],
    command: [holdBinary, 'serve', String(port), String(ports.length)],
  })
  const octet = requireLab(state.name).containers.find(({ name }) => name === 'held-outside')?.octet ?? 0
  const sourcesSeen = async (): Promise<Seen['sources']> =>
    (JSON.parse(await run(`docker exec held-outside bash -c 'exec 3<>/dev/tcp/127.0.0.1/${port - 1}; cat <&3'`)) as Seen).sources // biome-ignore format: one row
  await run(typed('apply', serviceOf('held-outside', outsideIp, [ipv4Of(octet)], ports)))
  await eventually('the agents know the Service', async () =>
    (await run(`kubectl exec ${pod} -- bash -c 'timeout 1 bash -c "exec 3<>/dev/tcp/${outsideIp}/80" && echo open || true'`)).includes('open'),
  ) // biome-ignore format: one row
  let isOver = false
  const holding = run(
    `kubectl exec ${pod} -- ${holdBinary} run ${outsideIp} 80 1 ${connections} 100 ${seconds}`,
  ).finally(() => {
    isOver = true
  })
  const machine = state.nodes.find(({ name }) => name === gateway)?.machine
  assert.ok(machine, `there is a node ${gateway}`)
  const die = async (): Promise<void> => {
    await eventually('all connections are open', async () => {
      const seen = Object.values(await sourcesSeen()).reduce((sum, count) => sum + count, 0)
      return isOver || seen >= connections
    })
    await setTimeout(2000)
    assert.equal(isOver, false, 'the connections are open when the gateway dies')
    writeFileSync(join(machine.cgroup, 'cgroup.kill'), '1')
  }
  const [output] = await Promise.all([holding, die()])
  return { held: heldIn(output), sources: await sourcesSeen() }
}

/** Kills them all at once. `meanwhile` runs before their successors are ready. */
async function restartAgents(
  state: LabState,
  nodes: readonly string[],
  meanwhile: () => Promise<void>,
): Promise<void> {
  const agentsOf = (node: string): Promise<readonly number[]> => processesOf(state, node, 'src/agent/main.ts')
  const killed = new Map<string, readonly number[]>()
  for (const node of nodes) killed.set(node, await agentsOf(node))
  for (const [node, pids] of killed) {
    assert.ok(pids.length > 0, `${node} has an agent`)
    for (const pid of pids) process.kill(pid, 'SIGKILL')
  }
  await meanwhile()
  for (const node of nodes)
    await eventually(`${node} has another agent`, async () => {
      const [pid] = await agentsOf(node)
      return pid !== undefined && !killed.get(node)?.includes(pid)
    })
  await type(state, 'sallyport status --wait')
}
