import assert from 'node:assert/strict'
import { restartKubelet } from '../../src/lab/daemons/controllers-and-kubelets.ts'
import { runInside } from '../../src/lab/machines/host.ts'
import { eventually, processesOf } from '../lab/lab-under-test.ts'
import { type Cluster, type Death, machineOf } from './gateway-deaths.ts'
import { dropFrames, heal, packetsBetween } from './switch.ts'

/* Ways to cut a node off from the others, or to let the cluster know it wrongly. */

/**
 * The switch carries no IP packets between this node and the others, neither in the tunnel nor outside it. The node still reaches the API
 * server and the world, and ARP works.
 */
export function cutOff({ state }: Cluster, node: string): void {
  const others = state.nodes.map(({ name }) => name).filter((name) => name !== node)
  const matches = others.flatMap((other) => [
    packetsBetween(state, node, other),
    packetsBetween(state, other, node),
  ])
  dropFrames(state, `cut-${node}`, matches)
}

/** Ends `cutOff`. */
export const reconnect = ({ state }: Cluster, node: string): void => heal(state, `cut-${node}`)

const filterRules =
  'add table inet cut; add chain inet cut in { type filter hook input priority 0; }; add chain inet cut out { type filter hook output priority 0; }; add rule inet cut in udp dport 8472 drop; add rule inet cut out udp dport 8472 drop'

/** The node drops UDP 8472 in both directions. Its link and its connection to the API server work. */
export const tunnelFiltered = (node: string): Death => ({
  way: `the tunnel is filtered at ${node}`,
  happen: (cluster) => runInside(machineOf(cluster, node), ['nft', filterRules]),
  undo: (cluster) => runInside(machineOf(cluster, node), ['nft', 'delete table inet cut']),
})

/** A stopped kubelet does not repair its Node object. */
async function signalKubelet({ state }: Cluster, node: string, signal: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
  const pids = await processesOf(state, node, 'kubelet/main.ts')
  assert.ok(pids.length > 0, `there is no kubelet of ${node}`)
  for (const pid of pids) process.kill(pid, signal)
}

export const nodeDeleted = (node: string): Death => ({
  way: `the Node object of ${node} is deleted while the node runs`,
  happen: async (cluster) => {
    await signalKubelet(cluster, node, 'SIGSTOP')
    await cluster.type(`kubectl delete node ${node}`)
  },
  undo: async (cluster) => {
    await signalKubelet(cluster, node, 'SIGCONT')
    await restartKubelet(cluster.state.name, node)
    await eventually('the node is registered again', async () =>
      cluster.type(`kubectl label --overwrite node ${node} egress-gw=true`).then(
        () => true,
        () => false,
      ),
    )
    await cluster.type(`kubectl wait --for=condition=Ready node/${node} --timeout=60s`)
  },
})

type NodeAddress = readonly [type: string, address: string]

/** The Node object lists these addresses until `undo`. */
export const addressesPatched = (node: string, what: string, addresses: readonly NodeAddress[]): Death => ({
  way: `the Node object of ${node} lists ${what}`,
  happen: async (cluster) => {
    await signalKubelet(cluster, node, 'SIGSTOP')
    const value = addresses.map(([type, address]) => ({ type, address }))
    const patch = JSON.stringify([{ op: 'replace', path: '/status/addresses', value }])
    await cluster.type(`kubectl patch node ${node} --subresource=status --type=json -p '${patch}'`)
  },
  undo: (cluster) => signalKubelet(cluster, node, 'SIGCONT'),
})
