import type { Command } from 'commander'
import { print } from '../output.ts'

const help = `
When a policy is deleted, or gets another egress IP, open connections keep the old one. So nodes keep the old egress
IP for the time egressGateway.egressIPLingerTime: it lingers. During this time, no other host should use it.

This command ends the lingering of one egress IP, on all nodes. Its connections break. Use it, for example, to give
the address to another host now. It does nothing to an egress IP that a policy uses.

Examples:
  kubectl get egressaddresses                   show which egress IPs linger, with their connections
  kubectl describe egressaddress 192-0-2-42     show which nodes have connections of one egress IP
  sallyport egress release 192.0.2.42           end these connections, and release the egress IP

It uses the cluster of your kubeconfig, and needs the right to patch egressaddresses.sallyport.dev.`

export function addRelease(egress: Command): void {
  egress
    .command('release')
    .description(
      'end the connections of an egress IP that no policy uses any more, so that another host can use it',
    )
    .argument('<address>', 'the egress IP')
    .addHelpText('after', help)
    .action(async (address: string) => {
      const { withCluster } = await import('../cluster.ts')
      const { releaseAddress } = await import('../release-address.ts')
      print(await withCluster((client) => releaseAddress(client, address)))
    })
}
