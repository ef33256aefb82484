import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startLab, stopLab } from '../src/lab/lab.ts'
import { loadLab, requireLab } from '../src/lab/lab-state.ts'
import { repository } from '../src/lab/layout.ts'
import { missingForLab } from '../src/lab/requirements.ts'
import { exec } from '../src/lab/shell.ts'

/**
 * Measures how long a node that runs low on ports waits for leased ports. It uses many egress IPs of one gateway in a lab of
 * five nodes, one after another. The node requests ports of each for the first time.
 */
const { values: options } = parseArgs({
  options: {
    addresses: { type: 'string', default: '120' },
    out: { type: 'string', default: join(repository, 'bench/leases.json') },
  },
})
const count = Number(options.addresses)
const name = 'bench-leases'
const print = (text: string): void => void process.stdout.write(`${text}\n`)

async function type(command: string): Promise<string> {
  const { code, output } = await exec(requireLab(name), ['bash', '-c', command])
  if (code !== 0) throw new Error(`${command}: ${output}`)
  return output.trim()
}

const numbers = Array.from({ length: count }, (_, index) => index)
const egressIp = (index: number): string => `172.18.1.${index + 1}`
const destination = (index: number): string => `198.51.100.${index + 1}`

const policy = (index: number): string => `apiVersion: cilium.io/v2
kind: CiliumEgressGatewayPolicy
metadata: {name: lease-${index}}
spec:
  selectors: [{podSelector: {matchLabels: {app: asking}}}]
  destinationCIDRs: [${destination(index)}/32]
  egressGateway: {nodeSelector: {matchLabels: {gateway: "true"}}, egressIP: ${egressIp(index)}}
`

/**
 * Runs in the pod. It opens flows to one destination after another, to each some more than the node's floor has ports. It is
 * one process, because the starts of many would dominate the result on a small machine.
 */
const flows = `const { createSocket } = require("node:dgram");
const { setTimeout } = require("node:timers/promises");
(async () => {
  for (const destination of process.argv.slice(1)) {
    const sockets = Array.from({ length: 80 }, () => createSocket("udp4"));
    for (const socket of sockets) socket.send("x", 9, destination);
    await setTimeout(500);
    for (const socket of sockets) socket.close();
  }
})()`

async function setUp(): Promise<void> {
  await startLab({ name })
  await type("cilium install --set 'devices={eth+,net+}' && cilium status --wait")
  await type('kubectl label node kind-worker4 gateway=true')
  const addresses = numbers.map((index) => `ip address add ${egressIp(index)}/16 dev net0`).join('; ')
  await type(
    `docker exec kind-worker4 sh -c 'ip link add net0 type dummy; ip link set net0 up; ${addresses}'`,
  )
  await type(`kubectl apply -f - >/dev/null <<'E'\n${numbers.map(policy).join('---\n')}E`)
  await type('kubectl run asking --labels app=asking --image docker.io/tgraf/netperf')
  await type('kubectl wait --for=condition=Ready pod/asking --timeout=30s')
  await setTimeout(10_000)
}

interface Leased {
  readonly egressIP: string
  readonly tookMs: number
}

async function leased(): Promise<readonly Leased[]> {
  const node = await type("kubectl get pod asking -o 'jsonpath={.spec.nodeName}'")
  const agent = await type(
    `kubectl -n kube-system get pods -l k8s-app=cilium --field-selector spec.nodeName=${node} -o name`,
  )
  const logs = await type(`kubectl -n kube-system logs ${agent}`)
  return logs
    .split('\n')
    .filter((line) => line.includes('"ports leased"'))
    .map((line) => JSON.parse(line) as Leased)
}

const quantile = (values: readonly number[], q: number): number =>
  values.toSorted((a, b) => a - b)[Math.ceil(values.length * q) - 1] ?? 0

try {
  const missing = missingForLab()
  if (missing.length > 0) throw new Error(missing.join('; '))
  if (loadLab(name) !== undefined) await stopLab(name)
  await setUp()
  await type(`kubectl exec asking -- ${process.execPath} -e '${flows}' ${numbers.map(destination).join(' ')}`)
  await setTimeout(2_000)
  const first = new Map<string, number>()
  for (const { egressIP, tookMs } of await leased()) if (!first.has(egressIP)) first.set(egressIP, tookMs)
  const times = [...first.values()]
  const figures = {
    asked: count,
    leased: times.length,
    p50: quantile(times, 0.5),
    p99: quantile(times, 0.99),
    max: Math.max(...times),
  }
  print(`ports asked for to ports in use, ms: ${JSON.stringify(figures)}`)
  writeFileSync(options.out, `${JSON.stringify(figures, null, 2)}\n`)
  print(`Written: ${options.out}. Made by: node bench/leases.ts --addresses ${count}`)
} catch (error) {
  print(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
} finally {
  if (loadLab(name) !== undefined) await stopLab(name)
}
