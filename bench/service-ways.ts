import { spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { startLab, stopLab } from '../src/lab/lab.ts'
import { apiServerUrl, loadLab, requireLab } from '../src/lab/lab-state.ts'
import { labPaths, labsDirectory, repository } from '../src/lab/layout.ts'
import { connectToBridge, type Machine, setUpBridge, startMachine } from '../src/lab/machines/host.ts'
import { enterCommand, findCgroupRoot, inCgroup, removeCgroup, run, startDaemon } from '../src/lab/machines/machine.ts' // biome-ignore format: one line
import { capture } from '../test/support/hold-program.ts'
import { kubeProxyRules, type ProxiedService } from './kube-proxy-rules.ts'
import { loadBinary } from './tools.ts'
import { enterOnlyPod, port, shell, typeIn, type Way, wirePod } from './ways.ts'

/** Two nodes: a pod of `source` calls a pod of `target` by a Service. */
export interface ServiceWay {
  readonly name: 'strict' | 'beside' | 'kernel'
  readonly inPod: Way['inPod']
  /** The address of the pod that serves. */
  readonly server: string
  /** Adds Services until there are so many, and returns when the client's node translates them. */
  readonly grow: (count: number) => Promise<void>
  readonly remove: () => Promise<void>
}

const octets = { source: 2, target: 4 } as const
const plainPods = { client: '10.244.2.2', server: '10.244.4.2' } as const

/** The Service by which the server is called. */
export const clusterIp = '10.100.0.1'

/** The first Service leads to the server. So does the last one, which shows that the node knows them all. */
function serviceAt(index: number, count: number, server: string): ProxiedService {
  const leadsToServer = index === 0 || index === count - 1
  const nobody = ['10.244.4.250', '10.244.4.251']
  return {
    name: `bench-${index}`,
    address: index === 0 ? clusterIp : addressAt(index),
    port,
    endpoints: (leadsToServer ? [server] : nobody).map((address) => ({ address, port })),
  }
}

const addressAt = (index: number): string => `10.101.${index >> 8}.${index & 255}`

const servicesTo = (count: number, server: string, from = 0): readonly ProxiedService[] =>
  Array.from({ length: count - from }, (_, index) => serviceAt(from + index, count, server))

/** Waits until the client reaches the server by the Service that was added last. */
async function untilReached(inPod: Way['inPod'], count: number): Promise<void> {
  const address = count === 1 ? clusterIp : addressAt(count - 1)
  const script = `timeout 1 bash -c 'exec 3<>/dev/tcp/${address}/${port}'`
  for (let tries = 0; tries < 120; tries++) {
    if (await capture(inPod(['bash', '-c', script])).then(() => true, () => false)) return // biome-ignore format: one line
    await setTimeout(500)
  }
  throw new Error(`the pod does not reach ${address}, the last of ${count} Services`)
}

/** Sallyport without kube-proxy. */
export const setUpStrict = (): Promise<ServiceWay> =>
  setUpServiceCluster('strict', ' --set kubeProxyReplacement=strict')

/** Sallyport beside the rules that kube-proxy would write. */
export const setUpBeside = (): Promise<ServiceWay> =>
  setUpServiceCluster('beside', ' --set kubeProxyReplacement=false')

async function setUpServiceCluster(way: 'strict' | 'beside', settings: string): Promise<ServiceWay> {
  const name = `bench-services-${way}`
  if (loadLab(name) !== undefined) await stopLab(name)
  await startLab({
    name,
    nodes: Object.entries(octets).map(([node, octet]) => ({
      name: node,
      lastOctet: octet,
      podCIDRs: [`10.244.${octet}.0/24`],
      isControlPlane: false,
    })),
  })
  const startPod = (pod: string, node: string, rest: string): Promise<string> =>
    typeIn(name, `kubectl run ${pod} --overrides '{"spec":{"nodeName":"${node}"}}' --image busybox${rest}`)
  await typeIn(name, `cilium install --set operator.replicas=1${settings} && cilium status --wait`)
  await startPod('client', 'source', '')
  await startPod('server', 'target', ` --command -- ${loadBinary} serve ${port}`)
  await typeIn(name, 'kubectl wait --for=condition=Ready pod/client pod/server --timeout=30s')
  const server = (await typeIn(name, 'kubectl get pod server -o jsonpath={.status.podIP}')).trim()
  const inPod = enterOnlyPod(name)
  let size = 0
  return {
    name: way,
    inPod,
    server,
    grow: async (count) => {
      const source = requireLab(name).nodes[0]?.machine
      if (source === undefined) throw new Error('the source node is gone')
      if (way === 'strict') createServices(name, source, servicesTo(count, server, size))
      else loadRules(source, servicesTo(count, server))
      size = count
      await untilReached(inPod, count)
    },
    remove: () => stopLab(name),
  }
}

function createServices(lab: string, controlPlane: Machine, services: readonly ProxiedService[]): void {
  const state = requireLab(lab)
  const words = [
    process.execPath, '--disable-warning=ExperimentalWarning', join(repository, 'bench/service-crowd.ts'),
    '--server', apiServerUrl(state), '--ca', join(labPaths(lab).apiServer, 'ca.crt'), '--token', state.tokens.admin ?? '',
  ] // biome-ignore format: one command
  const [command = '', ...rest] = enterCommand(controlPlane.init.pid, ['net'], words)
  run(command, rest, JSON.stringify(services))
}

function loadRules(node: Machine, services: readonly ProxiedService[]): void {
  const rules = kubeProxyRules(services, {
    address: `172.18.0.${octets.source}`,
    podNetwork: '10.244.0.0/16',
    serviceRange: '10.96.0.0/12',
  })
  const [command = '', ...rest] = enterCommand(node.init.pid, ['net'], ['nft', '-f', '-'])
  const { status, stderr } = spawnSync(command, rest, { input: rules, encoding: 'utf8' })
  if (status !== 0) throw new Error(`nft refused the rules of kube-proxy: ${stderr.slice(0, 500)}`)
}

/** The same topology without Sallyport: routed pods, VXLAN between the nodes, and the rules that kube-proxy would write. */
export async function setUpKernel(): Promise<ServiceWay> {
  const name = 'bench-services-kernel'
  const cgroup = join(findCgroupRoot(), `sallyport-${name}`)
  await removeCgroup(cgroup)
  const machine = (part: string): Promise<Machine> =>
    startMachine(part, join(labsDirectory, name, part), join(cgroup, part), { hasNodeMounts: false })
  const host = await machine('host')
  setUpBridge(host)
  const [source, target] = [await machine('source'), await machine('target')]
  const [client, server] = [await machine('client'), await machine('server')]
  connectToBridge(host, source, octets.source)
  connectToBridge(host, target, octets.target)
  wirePod(source, client, plainPods.client)
  wirePod(target, server, plainPods.server)
  joinByVxlan(source, octets.source, octets.target)
  joinByVxlan(target, octets.target, octets.source)
  startDaemon(
    inCgroup(join(cgroup, 'server'), enterCommand(server.init.pid, ['net', 'mount', 'uts', 'pid'], [loadBinary, 'serve', String(port)])),
    join(labsDirectory, name, 'server', 'serve.log'),
  ) // biome-ignore format: one command
  const inPod = (words: readonly string[]): string[] => enterCommand(client.init.pid, ['net'], words)
  return {
    name: 'kernel',
    inPod,
    server: plainPods.server,
    grow: async (count) => {
      loadRules(source, servicesTo(count, plainPods.server))
      await untilReached(inPod, count)
    },
    remove: async () => {
      await removeCgroup(cgroup)
      rmSync(join(labsDirectory, name), { recursive: true, force: true })
    },
  }
}

function joinByVxlan(node: Machine, own: number, other: number): void {
  const knobs = '/proc/sys/net/ipv4/conf'
  shell(
    node,
    `ip link add vx0 mtu 1450 type vxlan id 100 dstport 4789 local 172.18.0.${own} remote 172.18.0.${other} dev eth0
ip addr add 192.168.255.${own}/24 dev vx0; ip link set vx0 up; echo 0 >${knobs}/all/rp_filter; echo 0 >${knobs}/vx0/rp_filter
ip route add 10.244.${other}.0/24 via 192.168.255.${other} dev vx0`,
  )
}
