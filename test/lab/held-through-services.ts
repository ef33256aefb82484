import assert from 'node:assert/strict'
import type { LabState } from '../../src/lab/lab-state.ts'
import type { Held, Seen } from '../support/held-connections.ts'
import { holdBinary } from '../support/hold-program.ts'
import { eventually, processesOf, type } from './lab-under-test.ts'

/* Connections of a pod through one Service, with an endpoint on the pod's node and on another one, while much else changes. */

const port = 9100
const clusterIp = '10.96.7.200'
const bystanders = 20

/** Where the servers run. `passing` comes and goes, so it has only short connections. */
const servers = { 'held-near': 'kind-worker', 'held-far': 'kind-worker2', 'held-passing': 'kind-worker2' }
type Server = keyof typeof servers
const lasting: readonly Server[] = ['held-near', 'held-far']
const all = Object.keys(servers) as Server[]

const serviceOf = (name: string, clusterIP: string, endpoints: readonly string[]): readonly object[] => [
  {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name },
    spec: { clusterIP, ports: [{ name: 'held', port: 80 }] },
  },
  {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name: `${name}-1`, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ name: 'held', port, protocol: 'TCP' }],
    endpoints: endpoints.map((each) => ({ addresses: [each] })),
  },
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
  const line = output.split('\n').find((each) => each.startsWith('{')) ?? '{}'
  return { held: JSON.parse(line) as Held, taken, sources: new Set(seen.flatMap(Object.keys)) }
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
