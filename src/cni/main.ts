/**
 * The CNI plugin (cni.dev, spec 1.0.0). It reads the request of the container runtime, passes it to the agent and prints the
 * result. The agent does the wiring, because only the agent can write the pod's entries into the tables before ADD returns.
 * The plugin starts for every pod, so it imports nothing but Node.js's own modules.
 */

/** Not an `import`, which would read every export of the module. Some load other modules then, for longer than all else takes. */
const { request } = process.getBuiltinModule('node:http')

const supportedVersions = ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0']

/** Versions of old networks, in which our plugin is chained. It passes the previous result on unchanged. */
const chainedVersions = ['', '0.1.0', '0.2.0']

/** Error codes of the CNI specification, section "Error". */
const codes = {
  incompatibleVersion: 1,
  invalidEnvironment: 4,
  invalidConfiguration: 7,
  tryAgainLater: 11,
  notAvailable: 50,
  failed: 100,
}

interface NetworkConfiguration {
  readonly cniVersion: string
  readonly agentSocket: string
  /** The result of the previous plugins. Undefined if ours is the only one. */
  readonly prevResult: unknown
  /** Host ports that the pod asks for. Runtimes pass them because our configuration names the capability. */
  readonly hostPorts: readonly number[]
  readonly validContainerIds: readonly string[]
}

class CniError extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

async function readStandardInput(): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks).toString('utf8')
}

function parseConfiguration(text: string): NetworkConfiguration {
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch {
    throw new CniError(codes.invalidConfiguration, 'the network configuration on standard input is not JSON')
  }
  const fields = (typeof parsed === 'object' && parsed !== null ? parsed : {}) as Record<string, unknown>
  const cniVersion = typeof fields.cniVersion === 'string' ? fields.cniVersion : '1.0.0'
  const versions =
    fields.prevResult === undefined ? supportedVersions : [...chainedVersions, ...supportedVersions]
  if (process.env.CNI_COMMAND !== 'DEL' && !versions.includes(cniVersion))
    throw new CniError(
      codes.incompatibleVersion,
      `CNI version ${cniVersion} is not supported; use one of ${supportedVersions.join(', ')}`,
    )
  const attachments = Array.isArray(fields['cni.dev/valid-attachments'])
    ? fields['cni.dev/valid-attachments']
    : []
  return {
    cniVersion,
    agentSocket: typeof fields.agentSocket === 'string' ? fields.agentSocket : '/run/sallyport/agent.sock',
    prevResult: fields.prevResult,
    hostPorts: hostPortsIn(fields.runtimeConfig),
    validContainerIds: attachments.map((each: { containerID?: unknown }) => String(each.containerID)),
  }
}

/** CNI_ARGS is `KEY=value;KEY=value`. */
function parseArguments(text: string): Map<string, string> {
  const pairs = text.split(';').map((pair) => pair.split('=', 2) as [string, string?])
  return new Map(pairs.map(([key, value]) => [key, value ?? '']))
}

function hostPortsIn(runtimeConfig: unknown): number[] {
  const { portMappings } = (runtimeConfig ?? {}) as { portMappings?: unknown }
  if (!Array.isArray(portMappings)) return []
  return portMappings
    .map(({ hostPort }: { hostPort?: unknown }) => Number(hostPort))
    .filter((port) => port > 0)
}

/**
 * Without this error, the pod would run, but not be reachable at its host port, and no one would be told. In chained mode,
 * another plugin serves host ports.
 */
function refuseHostPorts({ hostPorts, prevResult }: NetworkConfiguration): void {
  if (hostPorts.length === 0 || prevResult !== undefined) return
  throw new CniError(
    codes.failed,
    `the pod asks for hostPort ${hostPorts.join(', ')}, which the CNI plugin of Sallyport does not serve: remove hostPort, use hostNetwork or a Service, or chain Sallyport behind a plugin list with portmap`,
  )
}

function requireVariable(name: string): string {
  const value = process.env[name]
  if (!value) throw new CniError(codes.invalidEnvironment, `${name} is not set`)
  return value
}

function describePod(): { namespace: string; name: string; uid: string } {
  const given = parseArguments(process.env.CNI_ARGS ?? '')
  const [namespace, name] = [given.get('K8S_POD_NAMESPACE'), given.get('K8S_POD_NAME')]
  if (!namespace || !name)
    throw new CniError(codes.invalidEnvironment, 'CNI_ARGS names no pod (K8S_POD_NAMESPACE, K8S_POD_NAME)')
  return { namespace, name, uid: given.get('K8S_POD_UID') ?? '' }
}

function buildRequest(command: string, configuration: NetworkConfiguration): unknown {
  if (command === 'GC')
    return {
      command,
      containerId: '',
      interfaceName: '',
      validContainerIds: configuration.validContainerIds,
    }
  const common = {
    command,
    containerId: requireVariable('CNI_CONTAINERID'),
    interfaceName: requireVariable('CNI_IFNAME'),
    ...(process.env.CNI_NETNS ? { netns: process.env.CNI_NETNS } : {}),
  }
  if (command === 'DEL') return common
  const { prevResult } = configuration
  return { ...common, netns: requireVariable('CNI_NETNS'), pod: describePod(), prevResult }
}

/** No process listens on the agent's socket. */
class NoAgent extends CniError {}

/** Without an agent the pod has no entries, so it must not start. The runtime tries again. */
function askAgent(socketPath: string, path: string, body: unknown): Promise<string> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        socketPath,
        path,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        timeout: 60_000,
      },
      (incoming) => {
        const chunks: Buffer[] = []
        incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
        incoming.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8')
          if (incoming.statusCode === 200 || incoming.statusCode === 204) return resolve(text)
          const code = incoming.statusCode === 503 ? codes.tryAgainLater : codes.failed
          reject(new CniError(code, messageOf(text)))
        })
      },
    )
    outgoing.on('timeout', () => outgoing.destroy(new Error('no answer within 60 s')))
    outgoing.on('error', (error) =>
      reject(
        new NoAgent(
          codes.tryAgainLater,
          `the agent does not answer on ${socketPath} (${error.message}); the pod waits until it runs`,
        ),
      ),
    )
    outgoing.end(JSON.stringify(body))
  })
}

function messageOf(text: string): string {
  try {
    return String((JSON.parse(text) as { message: unknown }).message)
  } catch {
    return text
  }
}

async function run(): Promise<string> {
  const command = requireVariable('CNI_COMMAND')
  if (command === 'VERSION') return JSON.stringify({ cniVersion: '1.0.0', supportedVersions })
  const [role, agentSocket] = process.argv.slice(2)
  if (role === 'loopback' && agentSocket !== undefined) return runLoopback(command, agentSocket)
  const configuration = parseConfiguration(await readStandardInput())
  if (command === 'ADD') refuseHostPorts(configuration)
  const request = command === 'STATUS' ? { command } : buildRequest(command, configuration)
  const answer = await askAgent(configuration.agentSocket, '/v1/cni', request).catch((error: unknown) => {
    if (command === 'STATUS') throw notAvailable(error)
    /* A pod must be able to end without an agent. The next agent finds that the device is gone. */
    if (command === 'DEL' && error instanceof NoAgent) return ''
    throw error
  })
  if (command !== 'ADD') return ''
  /* In chained mode, the result is that of the previous plugin. */
  const result = answer === '' ? configuration.prevResult : JSON.parse(answer)
  return JSON.stringify({ ...result, cniVersion: configuration.cniVersion })
}

/**
 * The plugin `loopback`, which container runtimes call for every pod before its network. It sets `lo` up. Only ADD and CHECK
 * need the agent. A deleted namespace takes `lo` with it.
 */
async function runLoopback(command: string, agentSocket: string): Promise<string> {
  if (command !== 'ADD' && command !== 'CHECK') return ''
  const { cniVersion, prevResult } = parseConfiguration(await readStandardInput())
  const netns = requireVariable('CNI_NETNS')
  const answer = await askAgent(agentSocket, '/v1/cni/loopback', { netns })
  if (command === 'CHECK') return ''
  const { addresses } = JSON.parse(answer) as { readonly addresses: readonly string[] }
  const ips = addresses.map((address) => ({ ...familyIn(cniVersion, address), interface: 0, address }))
  const interfaces = [{ name: 'lo', mac: '00:00:00:00:00:00', sandbox: netns }]
  return JSON.stringify({ ...(prevResult ?? { interfaces, ips }), cniVersion })
}

/** Results before spec 1.0.0 name the family of each address. */
function familyIn(cniVersion: string, address: string): object {
  return cniVersion.startsWith('0.') ? { version: address.includes(':') ? '6' : '4' } : {}
}

/** The answer to STATUS (spec 1.1.0), after which the runtime assigns no pods to this node. */
function notAvailable(error: unknown): CniError {
  return new CniError(codes.notAvailable, error instanceof Error ? error.message : String(error))
}

try {
  process.stdout.write(await run())
} catch (error) {
  const code = error instanceof CniError ? error.code : codes.failed
  const msg = error instanceof Error ? error.message : String(error)
  process.stdout.write(JSON.stringify({ cniVersion: '1.0.0', code, msg }))
  process.exitCode = 1
}
