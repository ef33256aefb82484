import type { Datapath } from '../../../datapath/datapath.ts'
import type { Desired } from '../../../datapath/desired.ts'
import type { DryOutcome, DryRun } from '../../../datapath/dry-run/dry-run.ts'
import { openingFlow, openingPacket } from '../../../datapath/dry-run/opening-packet.ts'
import type { FlowKey } from '../../../datapath/tables/flow-tables.ts'
import { type Context, gatherContext, selectingPolicies } from '../../../decide/context.ts'
import { serviceOfFlow } from '../../../decide/explain/expected-service.ts'
import { type Expected, expectedVerdict, holderOfAddress } from '../../../decide/explain/expected-verdict.ts'
import {
  explainGateways,
  explainNetworkPolicies,
  explainRules,
  explainSelections,
} from '../../../decide/explain/policy-story.ts'
import type { Endpoint, Tables } from '../../../decide/tables.ts'
import type { World, WorldPod } from '../../../decide/world.ts'
import type { Route } from '../../../linux/routes.ts'
import { type Address, familyOf } from '../../../net/address.ts'
import type { Random } from '../../../runtime/random.ts'
import type { Attachment } from '../../pods/attachments.ts'
import { dropReasons } from '../drop-reasons.ts'
import { findAskedPod, notReady } from './asked-pod.ts'
import type { DryRuns } from './dry-runs.ts'
import type { ExplainRequest, Explanation } from './explanation.ts'
import { type AddressUse, type Gathered, nodeFacts, probeFacts, takeAddresses } from './node-facts.ts'
import { serviceStory } from './service-story.ts'

/** What the agent knows, and its kernel. */
export interface ExplainParts extends Pick<Gathered, 'configuration' | 'sharesAddress'> {
  readonly world: World
  readonly tables: Tables
  readonly desired: Desired
  readonly isHypothetical: boolean
  readonly datapath: Datapath
  readonly dryRuns: Pick<DryRuns, 'use'>
  readonly attachments: readonly Attachment[]
  readonly nowNs: () => bigint
  readonly random: Random
  /** This node's route for packets with this source. */
  readonly route: (destination: Address, source: Address) => Route | undefined
  readonly deviceName: (ifindex: number) => string | undefined
}

interface Question {
  readonly request: ExplainRequest
  readonly attachment: Attachment
  readonly wired: NonNullable<Attachment['wired']>
  readonly pod: WorldPod
  readonly source: Address
  readonly destination: Address
  /** What the destination becomes, if it is a Service that the programs translate. */
  readonly endpoint?: Endpoint
  /** The one that the pod had last, by session affinity. */
  readonly lastEndpoint?: Endpoint
}

const reached = ({ destination, endpoint }: Question): Address => endpoint?.address ?? destination

/** Gateways can come and go between two looks at them. Then both are asked again. */
const maxTries = 3

/**
 * Tells what becomes of a flow's first packet: by the decision, and by the datapath's program, which runs on such a packet and on the
 * tables that are in force. Nothing changes, and no packet is sent.
 */
export async function explainFlow(parts: ExplainParts, request: ExplainRequest): Promise<Explanation> {
  const question = readQuestion(parts, request)
  return parts.dryRuns.use(parts.isHypothetical ? parts.desired : undefined, (dry) =>
    answer(parts, question, dry),
  )
}

async function answer(parts: ExplainParts, asked: Question, dry: DryRun): Promise<Explanation> {
  const context = gatherContext(parts.world)
  const question = findEndpoint(parts, asked, dry)
  const uses = await takeUses(parts, dry, question)
  for (let tries = 1; ; tries++) {
    const expected = expect(parts, uses, question)
    const outcome = runOn(parts, dry, question)
    const agrees = areAlike(expected, outcome)
    if (agrees || tries === maxTries)
      return compose(parts, context, question, { expected, outcome, uses, agrees })
  }
}

function expect(parts: ExplainParts, uses: ReadonlyMap<Address, AddressUse>, question: Question): Expected {
  const { endpoint } = question
  return expectedVerdict(parts.tables, flowOf(question), factsOf(parts, uses, question), endpoint)
}

/**
 * If the destination is a Service, the endpoint decides what ports and routes matter. So a first run finds the endpoint, and all later runs
 * have the same.
 */
function findEndpoint(parts: ExplainParts, question: Question, dry: DryRun): Question {
  const service = serviceOfFlow(parts.tables, flowOf(question), parts.configuration)
  if (service === undefined) return question
  const last = dry.takeAffinity(service, question.source)
  const { endpoint } = runOn(parts, dry, question)
  dry.reset()
  const isRecent =
    last !== undefined && last.lastNs + BigInt(service.affinityMs) * 1_000_000n >= parts.nowNs()
  return {
    ...question,
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(isRecent ? { lastEndpoint: last.endpoint } : {}),
  }
}

function readQuestion({ attachments, world }: ExplainParts, request: ExplainRequest): Question {
  const { namespace, pod: name } = request
  const { attachment, source, destination } = findAskedPod(attachments, world.self, request)
  const pod = world.pods.find((each) => each.namespace === namespace && each.name === name)
  if (pod === undefined || attachment.wired === undefined) throw notReady(request)
  return { request, attachment, wired: attachment.wired, pod, source, destination }
}

function flowKeyOf({ source, destination, request }: Question, sourcePort: number): FlowKey {
  const { protocol, port } = request
  return openingFlow(source, destination, { protocol, port, sourcePort })
}

function flowOf(question: Question) {
  const { source, destination, destination_port: port, protocol } = flowKeyOf(question, 0)
  return { source, destination, port, protocol }
}

const atEndpoint = (flow: FlowKey, { endpoint }: Question): FlowKey =>
  endpoint === undefined ? flow : { ...flow, destination: endpoint.address, destination_port: endpoint.port }

/** The addresses that the flow may get, used or not. */
function candidates({ tables }: Pick<ExplainParts, 'tables'>, rule: Expected['rule'], source: Address) {
  if (rule?.action === 'egress') {
    const group = tables.groups.get(rule.group)
    return { purpose: 'egress' as const, addresses: [...(group?.preferred ?? []), ...(group?.standby ?? [])] }
  }
  const own = familyOf(source) === 4 ? tables.self.masquerade4 : tables.self.masquerade6
  return { purpose: 'masquerade' as const, addresses: own === undefined ? [] : [own] }
}

async function takeUses(
  parts: ExplainParts,
  dry: DryRun,
  question: Question,
): Promise<ReadonlyMap<Address, AddressUse>> {
  const { rule } = expect(parts, new Map(), question)
  const { addresses, purpose } = candidates(parts, rule, question.source)
  return takeAddresses(dry, parts.tables, atEndpoint(flowKeyOf(question, 0), question), addresses, purpose)
}

function factsOf(parts: ExplainParts, uses: ReadonlyMap<Address, AddressUse>, question: Question) {
  const { configuration, sharesAddress, attachments, datapath, desired, nowNs } = parts
  return nodeFacts({
    ...{ configuration, sharesAddress, uses, orders: desired.egressIps },
    podAddresses: new Set(
      attachments.flatMap(({ wired, addresses }) => (wired === undefined ? [] : addresses)),
    ),
    probes: probeFacts(datapath, configuration, nowNs()),
    route: (source) => parts.route(reached(question), source),
    lastEndpoint: () => question.lastEndpoint,
  })
}

/** A flow tries only some ports. If they are all in use, another flow may have more luck, and so may the explanation. */
const maxFlows = 16

function runOn({ random, nowNs }: ExplainParts, dry: DryRun, question: Question): DryOutcome {
  const { mac, hostMac, ifindex } = question.wired
  const [firstPort, ports] = [32768, 28232]
  for (let flows = 1; ; flows++) {
    const flow = flowKeyOf(question, firstPort + Math.floor(random() * ports))
    const packet = openingPacket(flow, { to: hostMac, from: mac })
    if (question.endpoint !== undefined) dry.keepEndpoint(flow, question.endpoint)
    const outcome = dry.run(packet, ifindex, flow, { nowNs: nowNs(), random: BigInt(flows) })
    if (outcome.verdict !== 'DROP_NO_FREE_PORT' || flows === maxFlows) return outcome
  }
}

function areAlike(expected: Expected, { verdict, mapping, endpoint }: DryOutcome): boolean {
  const { verdicts, egressIps, isOpen, service } = expected
  const eligible = service?.eligible ?? []
  const isEligible = ({ address, port }: Endpoint): boolean =>
    eligible.some((each) => each.address === address && each.port === port)
  if (endpoint === undefined ? eligible.length > 0 : !isEligible(endpoint)) return false
  if (isOpen !== undefined) return true
  return verdicts.has(verdict) && (mapping === undefined || egressIps.has(mapping.egress_ip))
}

interface Result {
  readonly expected: Expected
  readonly outcome: DryOutcome
  readonly uses: ReadonlyMap<Address, AddressUse>
  readonly agrees: boolean
}

function compose(parts: ExplainParts, context: Context, question: Question, result: Result): Explanation {
  const { tables, world, isHypothetical } = parts
  const { request, pod, source, destination } = question
  const { expected, agrees, outcome } = result
  const { isChained, replacesKubeProxy } = parts.configuration
  const policies = selectingPolicies(context, pod)
  const deciding = policies.find(({ id }) => id === expected.rule?.policy)
  return {
    isHypothetical,
    pod: { namespace: pod.namespace, name: pod.name, node: world.self, labels: pod.labels },
    flow: { source, destination, port: request.port, protocol: request.protocol },
    servicesBy: replacesKubeProxy ? 'Sallyport' : isChained ? 'both' : 'kube-proxy',
    ...(expected.service === undefined ? {} : { service: serviceStory(expected.service, outcome.endpoint) }),
    policies: explainSelections(context, pod),
    rules: expected.rule === undefined ? [] : explainRules(policies, reached(question)),
    networkPolicies: explainNetworkPolicies(context, pod),
    gateways:
      deciding === undefined
        ? []
        : explainGateways(context, deciding, { pod, destination: reached(question) }),
    egressIps: expected.rule?.action === 'egress' ? egressIpStories(parts, question, result) : [],
    decision: {
      verdicts: [...expected.verdicts].sort(),
      egressIps: [...expected.egressIps],
      ...(expected.isOpen === undefined ? {} : { isOpen: expected.isOpen }),
    },
    program: programStory(parts, tables, result.outcome),
    agrees,
  }
}

function egressIpStories(
  parts: ExplainParts,
  question: Question,
  { expected, uses }: Result,
): Explanation['egressIps'] {
  const { tables } = parts
  const facts = factsOf(parts, uses, question)
  const nameOf = (address: Address): string => tables.nodes.get(address)?.name ?? address
  return candidates(parts, expected.rule, question.source).addresses.map((address) => {
    const order = facts.orderOf(address)
    const holder = holderOfAddress(order, tables.self.tunnelAddress, facts)
    const { owned = 0, inUse = 0, reclaimable = 0, podFlows = 0 } = uses.get(address) ?? {}
    return {
      address,
      order: order.map(nameOf),
      ...(holder === undefined ? {} : { holder: nameOf(holder) }),
      ports: { owned, inUse, reclaimable },
      podFlows,
    }
  })
}

function programStory(parts: ExplainParts, tables: Tables, outcome: DryOutcome): Explanation['program'] {
  const { verdict, node, nextMac, mapping, departure, ifindex } = outcome
  const drop = dropReasons[verdict]
  const policy = mapping && tables.policies.get(mapping.policy)
  const isByLink = verdict === 'SENT_TO_HOLDER_BY_LINK'
  const gateway = isByLink ? parts.datapath.tables.link_macs.get(nextMac) : node
  const holder = gateway && tables.nodes.get(gateway as Address)?.name
  const leavesHere = departure === 'DEPARTED_BY_DEVICE' && !isByLink
  const device = leavesHere ? parts.deviceName(ifindex) : undefined
  return {
    verdict,
    ...(drop === undefined ? {} : { reason: drop.text, remedy: drop.remedy }),
    ...(mapping === undefined ? {} : { egressIp: mapping.egress_ip, egressPort: mapping.egress_port }),
    ...(policy === undefined ? {} : { policy }),
    ...(holder === undefined ? {} : { holder }),
    ...(device === undefined ? {} : { device }),
  }
}
