import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Pod } from '../pod-spec.ts'

const configurationDirectory = '/etc/cni/net.d'

/** In the order in which Debian's container runtime looks: a node may have plugins of its own. */
const binaryDirectories = ['/usr/lib/cni', '/opt/cni/bin'] as const

/** What ADD has made, until DEL: as libcni keeps it, which runtimes use. */
export const resultCache = '/run/cni-results'

const interfaceName = 'eth0'

/** Container runtimes call this for every pod first, and refuse the pod if the node has no such plugin. */
const loopback: NetworkList = { cniVersion: '0.3.1', name: 'cni-loopback', plugins: [{ type: 'loopback' }] }

interface NetworkList {
  readonly cniVersion: string
  readonly name: string
  readonly plugins: readonly ({ readonly type: string } & Record<string, unknown>)[]
}

interface CniResult {
  readonly ips?: readonly { readonly address: string }[]
}

/** The first configuration by name, as container runtimes choose it; undefined: no plugin is installed yet. */
export function findNetwork(): NetworkList | undefined {
  if (!existsSync(configurationDirectory)) return undefined
  for (const name of readdirSync(configurationDirectory).sort()) {
    const path = join(configurationDirectory, name)
    if (name.endsWith('.conflist')) return JSON.parse(readFileSync(path, 'utf8')) as NetworkList
    if (name.endsWith('.conf')) {
      const {
        cniVersion = '0.4.0',
        name: networkName = 'lab',
        ...plugin
      } = JSON.parse(readFileSync(path, 'utf8'))
      return { cniVersion, name: networkName, plugins: [plugin] }
    }
  }
  return undefined
}

/** What a plugin is called for: one interface of one pod's sandbox. */
interface Sandbox {
  readonly pod: Pod
  readonly containerId: string
  readonly netns: string
  readonly interfaceName: string
}

/** As a container runtime does: `lo` by the plugin `loopback`, then the network. */
export async function callNetwork(
  command: 'ADD' | 'DEL',
  network: NetworkList,
  pod: Pod,
  containerId: string,
  netns: string,
): Promise<CniResult> {
  await callPlugins(command, loopback, { pod, containerId, netns, interfaceName: 'lo' })
  const result = await callPlugins(command, network, { pod, containerId, netns, interfaceName })
  const cached = join(resultCache, `${network.name}-${containerId}-${interfaceName}`)
  mkdirSync(resultCache, { recursive: true })
  if (command === 'DEL') rmSync(cached, { force: true })
  else writeFileSync(cached, JSON.stringify(describeResult(network, pod, containerId, result)))
  return result ?? {}
}

/** ADD runs the chain forwards, each with what the one before has made; DEL backwards. */
async function callPlugins(
  command: 'ADD' | 'DEL',
  network: NetworkList,
  sandbox: Sandbox,
): Promise<CniResult | undefined> {
  let result: CniResult | undefined
  const plugins = command === 'ADD' ? network.plugins : [...network.plugins].reverse()
  for (const plugin of plugins) {
    const { cniVersion, name } = network
    const { capabilities, ...told } = plugin
    const configuration = {
      cniVersion,
      name,
      ...told,
      ...runtimeConfigFor(capabilities, sandbox.pod),
      ...(result === undefined ? {} : { prevResult: result }),
    }
    const output = await callPlugin(command, plugin.type, configuration, sandbox)
    if (command === 'ADD') result = JSON.parse(output) as CniResult
  }
  return result
}

/** A plugin gets only the capabilities that its configuration names. */
function runtimeConfigFor(capabilities: unknown, { spec }: Pod): object {
  if (!(capabilities as { portMappings?: boolean } | undefined)?.portMappings) return {}
  const portMappings = spec.containers.flatMap(({ ports = [] }) =>
    ports
      .filter(({ hostPort = 0 }) => hostPort > 0)
      .map(({ hostPort, containerPort, protocol = 'TCP', hostIP = '' }) => ({
        ...{ hostPort, containerPort, protocol: protocol.toLowerCase(), hostIP },
      })),
  )
  return portMappings.length === 0 ? {} : { runtimeConfig: { portMappings } }
}

function describeResult(network: NetworkList, pod: Pod, containerId: string, result: unknown): object {
  const cniArgs = Object.entries(argumentsFor(pod, containerId))
  const { name } = network
  return { kind: 'cniCacheV1', containerId, ifName: interfaceName, networkName: name, cniArgs, result }
}

function argumentsFor({ metadata }: Pod, containerId: string): Record<string, string> {
  const { name, namespace = 'default', uid = '' } = metadata
  return {
    IgnoreUnknown: '1',
    K8S_POD_NAMESPACE: namespace,
    K8S_POD_NAME: name,
    K8S_POD_INFRA_CONTAINER_ID: containerId,
    K8S_POD_UID: uid,
  }
}

function findBinary(type: string): string | undefined {
  return binaryDirectories.map((directory) => join(directory, type)).find((path) => existsSync(path))
}

function callPlugin(
  command: string,
  type: string,
  configuration: object,
  { pod, containerId, netns, interfaceName }: Sandbox,
): Promise<string> {
  const cniArguments = Object.entries(argumentsFor(pod, containerId))
  const env = {
    PATH: process.env.PATH,
    CNI_COMMAND: command,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: netns,
    CNI_IFNAME: interfaceName,
    CNI_PATH: binaryDirectories.join(':'),
    CNI_ARGS: cniArguments.map((pair) => pair.join('=')).join(';'),
  }
  const binary = findBinary(type)
  return new Promise((resolve, reject) => {
    if (binary === undefined) {
      const path = binaryDirectories.join(' ')
      reject(
        new Error(
          `plugin type="${type}" failed (${command.toLowerCase()}): failed to find plugin "${type}" in path [${path}]`,
        ),
      )
      return
    }
    const child = spawn(binary, { env, stdio: ['pipe', 'pipe', 'pipe'] })
    let [output, errors] = ['', '']
    child.stdout.on('data', (chunk) => (output += chunk))
    child.stderr.on('data', (chunk) => (errors += chunk))
    child.on('error', (error) => reject(new Error(`plugin ${type} could not be started: ${error.message}`)))
    child.on('close', (code) => {
      if (code === 0) return resolve(output)
      reject(
        new Error(
          `plugin type="${type}" failed (${command.toLowerCase()}): ${pluginMessage(output) || errors.trim() || `exit code ${code}`}`,
        ),
      )
    })
    child.stdin.on('error', () => {})
    child.stdin.end(JSON.stringify(configuration))
  })
}

function pluginMessage(output: string): string {
  try {
    return String((JSON.parse(output) as { msg?: string }).msg ?? '')
  } catch {
    return output.trim()
  }
}
