import { type Command, Option } from 'commander'
import type { ExplainRequest, Explanation } from '../../agent/api/explain/explanation.ts'
import { type FlowRow, flowOrders, flowStates } from '../../agent/api/flows/flow-row.ts'
import type { KubeClient } from '../../kube/client.ts'
import { askAgent, followAgent, isInAgentPod } from '../agent-socket.ts'
import { outputOption } from '../options.ts'
import { print, printJson } from '../output.ts'
import type { ReachedAgent } from '../see/agents.ts'
import type { SentPacket } from '../see/send-packet.ts'
import { UserError } from '../user-error.ts'
import { eventsHelp, explainHelp, flowsHelp, whoHelp } from './see-help.ts'

/** Commands that show what happens to packets, in the whole cluster. In an agent's pod they know its node only. */
export function addSeeing(program: Command): void {
  addExplain(program)
  addWho(program)
  addFlows(program)
  program
    .command('events')
    .description('show takeovers, hand-backs, address conflicts and exhausted pools as a timeline')
    .addOption(outputOption())
    .addHelpText('after', eventsHelp)
    .action(showEvents)
  addAskAgent(program)
}

/** Runs `work` with the agents that can be asked from here. */
async function withAgents<T>(work: (agents: readonly ReachedAgent[]) => Promise<T>): Promise<T> {
  const { listAgents, localAgent } = await import('../see/agents.ts')
  if (isInAgentPod()) return work([await localAgent()])
  const { withCluster } = await import('../cluster.ts')
  return withCluster(async (client) => work(await listAgents(client)))
}

function addExplain(program: Command): void {
  program
    .command('explain')
    .description('tell what becomes of a packet of a pod, and why; nothing is sent or changed without --send')
    .argument('<pod>', 'the pod, for example pod/web-0')
    .usage('<pod> --to <address> [options]')
    .requiredOption(
      '--to <address>',
      'the destination: 192.0.2.7:443 (without a port, 443 is used) or a Service: service/NAME[:PORT], service/NAMESPACE/NAME[:PORT]',
    )
    .option('-n, --namespace <name>', 'the namespace of the pod', 'default')
    .addOption(
      new Option('--protocol <name>', 'what the pod sends').choices(['tcp', 'udp', 'icmp']).default('tcp'),
    )
    .option('--send', 'also send one real packet of that kind, and follow it and the answer')
    .addOption(
      new Option('--wait <seconds>', 'with --send: how long to wait for an answer, at most 20').default('3'),
    )
    .option(
      '-f, --filename <file>',
      'tell what would happen if the policies in this file were applied: they replace those of the same kind and name',
    )
    .addOption(outputOption())
    .addHelpText('after', explainHelp)
    .action(explainPod)
}

interface ExplainOptions {
  readonly to: string
  readonly namespace: string
  readonly protocol: 'tcp' | 'udp' | 'icmp'
  readonly filename?: string
  readonly send?: boolean
  readonly wait: string
  readonly output?: string
}

/** Without a port, the destination's HTTPS port stands for all that NetworkPolicies allow there. */
const usualPort = 443

async function explainPod(
  pod: string,
  { to, namespace, protocol, filename, output, send, wait }: ExplainOptions,
): Promise<void> {
  const waitMs = send ? checkSending(protocol, filename, wait) : undefined
  const { explain, nodeOfPod, readPolicies } = await import('../see/explain.ts')
  const { parseEnd } = await import('../see/ends.ts')
  const name = /^(?:pods?\/)?([^/]+)$/.exec(pod)?.[1]
  if (name === undefined) throw new UserError(`${pod} is not a pod: write, for example, pod/web-0`, 2)
  const policies = filename === undefined ? {} : { policies: readPolicies(filename) }
  const { localAgent, listAgents } = await import('../see/agents.ts')
  const { findService, parseService } = await import('../see/explained-service.ts')
  const service = parseService(to, namespace)
  const request = (end: Pick<ExplainRequest, 'to' | 'port' | 'protocol'>): ExplainRequest => ({
    ...{ namespace, pod: name, ...end, ...policies },
  })
  const byAddress = (): ExplainRequest => {
    const { address, port = usualPort } = parseEnd(to, '--to')
    return request({ to: address, port, protocol })
  }
  const answer = async (
    agents: readonly ReachedAgent[],
    node: string,
    asked: ExplainRequest,
    client?: KubeClient,
  ): Promise<Explained> => {
    const said = await explain(agents, node, asked, client)
    if (waitMs === undefined) return said
    return { ...said, sent: await (await import('../see/send-packet.ts')).sendPacket(agents, said, waitMs) }
  }
  const ask = async (client: KubeClient): Promise<Explained> => {
    const asked = service === undefined ? byAddress() : request(await findService(client, service))
    return answer(await listAgents(client), await nodeOfPod(client, namespace, name), asked, client)
  }
  if (service !== undefined && isInAgentPod())
    throw new UserError('names of Services need a kubeconfig: give the address of the Service', 2)
  const { withCluster } = await import('../cluster.ts')
  const said = await (isInAgentPod()
    ? localAgent().then((agent) => answer([agent], agent.node, byAddress()))
    : withCluster(ask))
  if (output === 'json') printJson(said)
  else await printExplained(said)
  const isAnswered = said.sent === undefined || (said.sent.agrees && said.sent.answer !== undefined)
  if (!said.agrees || said.afterService?.agrees === false || !isAnswered) process.exitCode = 1
}

type Explained = Explanation & { readonly sent?: SentPacket }

async function printExplained(said: Explained): Promise<void> {
  print((await import('../see/explanation-text.ts')).formatExplanation(said))
  if (said.sent !== undefined) print((await import('../see/sent-packet-text.ts')).formatSentPacket(said.sent))
}

/** How long to wait, in milliseconds. */
function checkSending(protocol: string, filename: string | undefined, wait: string): number {
  const seconds = Number(wait)
  if (filename !== undefined)
    throw new UserError('--send cannot be used with -f: the packet meets the policies that are in force', 2)
  if (protocol === 'icmp') throw new UserError('--send works with --protocol tcp and --protocol udp', 2)
  if (!(seconds > 0 && seconds <= 20))
    throw new UserError(`--wait: ${wait} is not a number of seconds up to 20`, 2)
  return seconds * 1000
}

function addWho(program: Command): void {
  program
    .command('who')
    .description('show which pod uses a port of an egress IP, or used it at another time (--at)')
    .argument('<address:port>', 'the egress IP and the port, as the destination sees them')
    .option(
      '--to <address>',
      'the destination, with or without its port: flows to different ones can share a port',
    )
    .option('--at <time>', 'who had it then, by the NAT log: for example 2026-11-30T14:02:00Z')
    .addOption(outputOption())
    .addHelpText('after', whoHelp)
    .action(showWho)
}

interface WhoOptions {
  readonly to?: string
  readonly at?: string
  readonly output?: string
}

async function showWho(text: string, { to, at, output }: WhoOptions): Promise<void> {
  const { parseEnd } = await import('../see/ends.ts')
  const end = parseEnd(text, 'who')
  if (end.port === undefined) throw new UserError(`${text} has no port: write, for example, ${text}:40123`, 2)
  const destination = to === undefined ? undefined : parseEnd(to, '--to')
  if (at !== undefined) {
    const { formatPast, parseTime, whoWas } = await import('../see/who-was.ts')
    const time = parseTime(at)
    const past = await withAgents((agents) => whoWas(agents, end, time, destination, warn))
    for (const remark of past.remarks) process.stderr.write(`${remark}\n`)
    if (output === 'json') printJson(past.flows)
    else if (past.flows.length > 0) print(formatPast(past.flows))
    if (past.flows.length === 0)
      throw new UserError(`no log has a flow with port ${end.port} of ${end.address} at ${time}`)
    return
  }
  const { who } = await import('../see/who.ts')
  const rows = await withAgents((agents) => who(agents, end, destination))
  if (output === 'json') printJson(rows)
  else print((await import('../see/flows-text.ts')).formatFlows(rows))
}

function addFlows(program: Command): void {
  program
    .command('flows')
    .description('list the translated flows of all nodes, or of some')
    .option('--pod <name>', 'of this pod: name, or namespace/name')
    .option('--policy <name>', 'of this policy')
    .option('--node <name>', 'of this node')
    .option('--egress-ip <address>', 'with this egress IP')
    .option('--to <address>', 'to this address or prefix')
    .addOption(new Option('--state <name>', 'in this state').choices(flowStates))
    .addOption(
      new Option('--top <order>', 'show the largest first; connections: of each pod').choices(flowOrders),
    )
    .option('--limit <count>', 'the limit for each node; with --top, for all nodes together', '100')
    .option('--watch', 'show them again every two seconds, until you stop it')
    .addOption(outputOption('json: one object per line'))
    .addHelpText('after', flowsHelp)
    .action(listFlows)
}

interface FlowsOptions {
  readonly pod?: string
  readonly policy?: string
  readonly node?: string
  readonly egressIp?: string
  readonly to?: string
  readonly state?: string
  readonly top?: (typeof flowOrders)[number]
  readonly limit: string
  readonly watch?: boolean
  readonly output?: string
}

const watchMs = 2000

async function listFlows({ node, watch, output, ...query }: FlowsOptions): Promise<void> {
  const { systemClock } = await import('../../runtime/clock.ts')
  await withAgents(async (all) => {
    const { agentOf } = await import('../see/agents.ts')
    const agents = node === undefined ? all : [agentOf(all, node)]
    for (;;) {
      await showFlows(agents, query, output)
      if (!watch) return
      await systemClock.sleep(watchMs)
      if (output !== 'json') print('')
    }
  })
}

async function showFlows(
  agents: readonly ReachedAgent[],
  { limit, top, ...query }: Omit<FlowsOptions, 'node' | 'watch' | 'output'>,
  output: string | undefined,
): Promise<void> {
  const { followAll } = await import('../see/merged.ts')
  const given = Object.entries({ ...query, limit, top }).filter(
    (pair): pair is [string, string] => pair[1] !== undefined,
  )
  const path = `/v1/flows?${new URLSearchParams(given)}`
  const rows: FlowRow[] = []
  for await (const row of followAll<FlowRow>(agents, path, { isEndless: false, onFailure: warn }))
    rows.push(row)
  const { formatFlows, formatSums, largest } = await import('../see/flows-text.ts')
  const shown = top === undefined ? rows : largest(rows, top, Number(limit))
  if (output === 'json') for (const row of shown) print(JSON.stringify(row))
  else if (shown.length === 0) process.stderr.write('No flow matches.\n')
  else print(top === 'connections' ? formatSums(shown) : formatFlows(shown))
  const full =
    top === undefined &&
    agents.some(({ node }) => rows.filter((row) => row.node === node).length >= Number(limit))
  if (full) process.stderr.write(`Some nodes have more: name a filter, or raise --limit ${limit}.\n`)
}

/** One agent that does not answer must not hide what the others say. */
export function warn(node: string, error: unknown): void {
  process.stderr.write(
    `node ${node} is left out: ${error instanceof Error ? error.message : String(error)}\n`,
  )
  process.exitCode = 1
}

async function showEvents({ output }: { readonly output?: string }): Promise<void> {
  const { withCluster } = await import('../cluster.ts')
  const { formatTimeline, readTimeline } = await import('../see/events.ts')
  const events = await withCluster(readTimeline)
  if (output === 'json') printJson(events)
  else if (events.length === 0) process.stderr.write('No Events. API servers delete them after an hour.\n')
  else print(formatTimeline(events))
}

/** What the other commands run in an agent's pod. It prints the agent's own answer. */
function addAskAgent(program: Command): void {
  program
    .command('ask-agent', { hidden: true })
    .argument('<path>')
    .option('--body <json>')
    .option('--stream')
    .action(async (path: string, { body, stream }: { readonly body?: string; readonly stream?: boolean }) => {
      if (!stream) return printJson(await askAgent(path, body === undefined ? undefined : JSON.parse(body)))
      for await (const value of followAgent(path, path.startsWith('/v1/drops'))) print(JSON.stringify(value))
    })
}
