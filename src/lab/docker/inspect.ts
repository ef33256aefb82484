import type { LabState } from '../lab-state.ts'
import { ipv4Of, ipv6Of, network } from '../layout.ts'
import { dockerError, findTarget, logOf, stateOf, targetsOf } from './targets.ts'

export function inspectContainer(state: LabState, name: string): object {
  const target = findTarget(state, name)
  const { id, name: full, image, octet, machine, environment, startedAt } = target
  const how = stateOf(target)
  return {
    Id: id,
    Name: `/${full}`,
    Created: startedAt,
    Config: { Image: image, Env: environment, Hostname: full },
    State: {
      Status: how,
      Running: how !== 'exited',
      Paused: how === 'paused',
      Pid: how === 'exited' ? 0 : machine.init.pid,
    },
    NetworkSettings: {
      Networks: {
        [network.name]: {
          IPAddress: ipv4Of(octet),
          IPPrefixLen: 16,
          Gateway: ipv4Of(1),
          GlobalIPv6Address: ipv6Of(octet),
          GlobalIPv6PrefixLen: 64,
        },
      },
    },
  }
}

export function inspectNetwork(state: LabState, name: string): object {
  if (name !== network.name) throw dockerError(`network ${name} not found`)
  return {
    Name: network.name,
    Driver: 'bridge',
    IPAM: {
      Driver: 'default',
      Config: [
        { Subnet: network.ipv4, Gateway: ipv4Of(1) },
        { Subnet: network.ipv6, Gateway: ipv6Of(1) },
      ],
    },
    Containers: Object.fromEntries(
      targetsOf(state).map(({ id, name: each, octet }) => [
        id,
        { Name: each, IPv4Address: `${ipv4Of(octet)}/16`, IPv6Address: `${ipv6Of(octet)}/64` },
      ]),
    ),
  }
}

const statuses = { running: 'Up', paused: 'Up (Paused)', exited: 'Exited' } as const

/** The running containers. With `isAll`, exited ones as well. */
export function listContainers(
  state: LabState,
  isAll: boolean,
): readonly { id: string; name: string; image: string; status: string }[] {
  return targetsOf(state)
    .filter((target) => isAll || stateOf(target) !== 'exited')
    .map((target) => ({
      id: target.id.slice(0, 12),
      name: target.name,
      image: target.image,
      status: statuses[stateOf(target)],
    }))
}

/** The log file of a container, or of a node's kubelet. */
export function containerLog(state: LabState, name: string): string {
  return logOf(state, findTarget(state, name))
}
