import { existsSync } from 'node:fs'
import { release } from 'node:os'
import { clsact } from '../../datapath/hooks/clsact.ts'
import { tcx } from '../../datapath/hooks/tcx.ts'
import { hasConnectionTracking, isOlder, kernels, missingRequirements } from '../../datapath/requirements.ts'
import { type NodeRules, stackConditions } from '../../decide/status/stack-rules.ts'
import type { Device } from '../../linux/devices.ts'
import type { Netlink } from '../../linux/netlink.ts'
import { listStackRules } from '../../linux/stack-rules.ts'
import { readSysctl } from '../../linux/sysctl.ts'
import type { Finding } from '../../runtime/finding.ts'
import { pluginFolders } from '../plugin/cni-install.ts'
import { gatherRuntimeFolders, judgeRuntimeFolders, type RuntimeFolders } from '../plugin/runtime-folders.ts'
import { listNodeDevices, overlayName } from './node-network.ts'

/** The facts about a node that decide whether the datapath can work there. */
export interface NodeFacts {
  readonly kernel: string
  readonly machine: string
  /** What prevents the programs from being loaded, with the remedies. */
  readonly missing: readonly string[]
  readonly devices: readonly (Pick<Device, 'name' | 'kind' | 'mtu' | 'vxlanPort'> & {
    readonly isDefaultRoute: boolean
  })[]
  /** For each device with a default route, the names of programs at its ingress. */
  readonly programs: ReadonlyMap<string, readonly string[]>
  readonly hasNetfilterOnBridges: boolean
  /** Names of bridges that have veth devices as ports. */
  readonly bridgesOfPods: readonly string[]
  readonly folders: RuntimeFolders
  readonly rpFilter: string
  readonly hasConnectionTracking: boolean
  readonly rules: NodeRules
}

interface NodeWishes {
  readonly tunnelPort: number
  readonly mtu: number
  readonly isChained: boolean
  readonly forwardsByStack: boolean
  readonly servicesByStack: boolean
}

const ownPrograms = ['from_pod', 'to_pod', 'from_overlay', 'from_world', 'to_world']
/** IPv6 requires an MTU of 1,280 (RFC 8200 section 5), and the tunnel header takes at most 70 bytes. */
const leastMtu = 1350

export function gatherNodeFacts(netlink: Netlink, pinDirectory: string, objectFile: string): NodeFacts {
  const devices = listNodeDevices(netlink)
  return {
    kernel: release(),
    machine: process.arch,
    missing: missingRequirements(pinDirectory, objectFile),
    devices,
    programs: listPrograms(devices.filter(({ isDefaultRoute }) => isDefaultRoute)),
    hasNetfilterOnBridges:
      existsSync('/proc/sys/net/bridge/bridge-nf-call-iptables') &&
      readSysctl('net/bridge/bridge-nf-call-iptables') === '1',
    bridgesOfPods: listBridgesOfPods(devices),
    folders: gatherRuntimeFolders(pluginFolders),
    rpFilter: readSysctl('net/ipv4/conf/all/rp_filter'),
    hasConnectionTracking: hasConnectionTracking(),
    rules: listStackRules(),
  }
}

/** Containers of a Docker engine look the same: a bridge with veth devices. */
function listBridgesOfPods(devices: readonly Device[]): readonly string[] {
  const masters = new Set(devices.flatMap(({ kind, masterIndex }) => (kind === 'veth' ? [masterIndex] : [])))
  return devices.filter(({ kind, index }) => kind === 'bridge' && masters.has(index)).map(({ name }) => name)
}

/** Both mechanisms. If the kernel has tcx, filters run after its programs. */
function listPrograms(devices: readonly Device[]): ReadonlyMap<string, readonly string[]> {
  return new Map(
    devices.map(({ name, index }) => {
      const place = { ifindex: index, direction: 'ingress' } as const
      const hanging = [tcx, clsact].flatMap((kind) => kind.list(place) ?? [])
      return [name, hanging.map((each) => each.name)]
    }),
  )
}

/** Pure: equal facts lead to equal findings. */
export function judgeNode(facts: NodeFacts, wishes: NodeWishes): readonly Finding[] {
  return [
    ...facts.missing.map((text): Finding => ({ level: 'problem', what: text })),
    ...judgeKernel(facts),
    ...judgeTunnel(facts, wishes),
    ...judgePrograms(facts),
    ...judgeForwarding(facts),
    ...judgeSharing(facts, wishes),
    ...judgeRules(facts, wishes),
    ...judgeRuntimeFolders(facts.folders),
  ]
}

function judgeKernel({ kernel, machine }: NodeFacts): Finding[] {
  const findings: Finding[] = []
  if (!['x64', 'arm64'].includes(machine))
    findings.push({
      level: 'problem',
      what: `the CPU architecture of this node is ${machine}`,
      remedy: 'use a node with x86-64 or arm64',
    })
  if (isOlder(kernel, kernels.oldestTried))
    findings.push({
      level: 'warning',
      what: `kernel ${kernel} is older than ${kernels.oldestTried}, the oldest kernel that was tested`,
      remedy: 'upgrade the kernel if the agent does not start',
    })
  if (findings.length === 0)
    findings.push({ level: 'fine', what: `kernel ${kernel} has everything that the datapath needs` })
  return findings
}

function judgeTunnel({ devices }: NodeFacts, { tunnelPort, mtu }: NodeWishes): Finding[] {
  const findings: Finding[] = []
  const rival = devices.find(({ name, vxlanPort }) => vxlanPort === tunnelPort && name !== overlayName)
  if (rival !== undefined)
    findings.push({
      level: 'problem',
      what: `device ${rival.name} uses UDP port ${tunnelPort}, which the tunnel needs`,
      remedy:
        'set another port, for example --set tunnelPort=8473, that is free on all nodes and allowed by firewalls between them',
    })
  const foreign = devices.find(({ name, kind }) => name === overlayName && kind !== 'vxlan')
  if (foreign !== undefined)
    findings.push({
      level: 'problem',
      what: `device ${overlayName} has the name of the tunnel device and is not a VXLAN device`,
      remedy: 'rename the device',
    })
  const underlays = devices.filter(({ isDefaultRoute }) => isDefaultRoute)
  if (underlays.length === 0)
    findings.push({
      level: 'warning',
      what: 'no device has a default route',
      remedy: 'name the native devices, for example --set devices={eth0}',
    })
  for (const { name, mtu: most } of underlays) {
    if (most < leastMtu)
      findings.push({
        level: 'warning',
        what: `device ${name} has MTU ${most}, which leaves ${most - 50} for packets in the tunnel`,
        remedy: 'raise the MTU if the network allows it, because IPv6 needs 1280 in the tunnel',
      })
    if (mtu > most - 50)
      findings.push({
        level: 'problem',
        what: `mtu=${mtu} is too large for device ${name}, which has MTU ${most}`,
        remedy: `use --set mtu=${most - 50}, or --set mtu=0 to derive it from the device`,
      })
  }
  if (findings.length === 0)
    findings.push({ level: 'fine', what: `no other device uses UDP port ${tunnelPort} of the tunnel` })
  return findings
}

function judgePrograms({ programs }: NodeFacts): Finding[] {
  return [...programs].flatMap(([device, names]: readonly [string, readonly string[]]) => {
    const others = names.filter((name) => !ownPrograms.includes(name))
    return others.length === 0
      ? []
      : [
          {
            level: 'warning' as const,
            what: `other programs are attached to device ${device} (${others.join(', ')})`,
            remedy:
              "check that they do not need the packets that Sallyport handles, because Sallyport's programs run first",
          },
        ]
  })
}

function judgeForwarding({ hasNetfilterOnBridges, bridgesOfPods, rpFilter }: NodeFacts): Finding[] {
  const findings: Finding[] = []
  if (rpFilter === '1')
    findings.push({
      level: 'warning',
      what: 'net.ipv4.conf.all.rp_filter is 1 (strict)',
      remedy:
        'set it to 2 if the kernel drops packets of pods; on the tunnel device the agent has set it to 2',
    })
  if (hasNetfilterOnBridges && bridgesOfPods.length > 0)
    findings.push({
      level: 'warning',
      what: `bridge-nf-call-iptables is 1, so netfilter handles all traffic on the bridges of pods (${bridgesOfPods.join(', ')})`,
      remedy:
        'set it to 0 unless kube-proxy or NetworkPolicies need it, because it costs pods up to a third of their throughput',
    })
  return findings
}

/** In chained mode, a policy can use the node's own address only if programs can ask connection tracking for ports. */
function judgeSharing({ hasConnectionTracking: canShare }: NodeFacts, { isChained }: NodeWishes): Finding[] {
  if (!isChained || canShare) return []
  return [
    {
      level: 'warning',
      what: "egress policies cannot use this node's own address: the kernel does not offer connection tracking to programs",
      remedy:
        'use kernel 6.1 or later, load nf_conntrack and nf_nat, and restart the agent; or give gateways another address',
    },
  ]
}

/** Any node may become a gateway. */
function judgeRules({ rules }: NodeFacts, { forwardsByStack, servicesByStack }: NodeWishes): Finding[] {
  return stackConditions({ rules, isGateway: true, forwardsByStack, servicesByStack }).map(
    ({ message }): Finding => ({ level: 'warning', what: message }),
  )
}
