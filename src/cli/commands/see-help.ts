const rights = `
From a machine with a kubeconfig, it asks the agents of all nodes that matter. You need the right to list pods and to
create pods/exec in the namespace kube-system. In an agent's pod, it knows that node only.`

export const explainHelp = `
It tells the packet's story in order: which policies select the pod and why others do not, which rule decides, the
gateways, the egress IP, its holder and its free ports, the route on the gateway, and the verdict. The verdict comes
from the datapath's own program, which runs on such a packet without sending it. If that differs from what the agent
calculates, the command says so and fails with exit code 1. If the packet is dropped, and both agree, the exit code is 0.

With --send, it also sends one real packet: a TCP SYN, or an empty datagram. The packet comes in by the pod's device, as if the pod had sent
it, and all programs handle it as any packet of the pod. The command shows what each program did with it and with the answer, on the pod's
node and on the gateways. Then it resets the connection. If nothing answers, the exit code is 1.

Examples:
  sallyport explain pod/web-0 --to 192.0.2.7:443              why does this pod leave with that address?
  sallyport explain pod/web-0 -n shop --to 192.0.2.7:53 --protocol udp
  sallyport explain pod/web-0 --to service/partner:443        which endpoint, and how does the packet leave?
  sallyport explain pod/web-0 --to 192.0.2.7 -f policy.yaml   what would happen with this policy?
  sallyport explain pod/web-0 --to 192.0.2.7:443 --send       does the destination answer, and where does the packet get lost?

A Service is named as service/NAME[:PORT], in the namespace of the pod, or as service/NAMESPACE/NAME[:PORT]. Then the protocol is
that of the port. --to also accepts cluster IPs, external IPs, addresses of load balancers and node ports. For Services that kube-proxy
translates, you also need the right to list Services, EndpointSlices and Nodes.

It tells about a new connection. Open ones keep their egress IP: see "sallyport flows --pod web-0".
${rights}`

export const whoHelp = `
The port names the node that owns it, and the node's table of flows names the pod. A flow that has ended is not shown.
With --at, the NAT logs of all nodes are read, so that flows that have ended and pods that are gone are shown. The setting
natLog.enabled turns the logs on. Give the time with its zone. A time without a fraction means the whole second.

Examples:
  sallyport who 192.0.2.42:40123                          all flows that have this port now
  sallyport who 192.0.2.42:40123 --to 198.51.100.7:443    the one to this destination
  sallyport who 192.0.2.42:40123 --at 2026-11-30T14:02:00Z
${rights}`

export const flowsHelp = `
Each row is a flow that Sallyport translates now, as the datapath knows it: counts are live.

Examples:
  sallyport flows --pod shop/web-0                    everything that this pod has open
  sallyport flows --egress-ip 192.0.2.42 --to 198.51.100.0/24
  sallyport flows --top bytes --limit 10              the ten largest flows of the cluster
  sallyport flows --top connections --limit 10        the pods with most connections

States: opening, established, closing, closed and reset for TCP; replied and unanswered for the others.
${rights}`

export const eventsHelp = `
It shows the Events that Sallyport writes, the oldest first. API servers usually delete Events after an hour.
What each reason means, and what to do about it: docs/conditions.md.`

export const dropsHelp = `
From a machine with a kubeconfig, it follows the drops of all nodes. Each line names the node, the reason and the pod.
With -o json, each drop also has the remedy. In a flood, a node shows some of the packets and counts all of them:
see "sallyport status" in the agent's pod.

Examples:
  sallyport drops
  sallyport drops -o json | jq 'select(.pod == "shop/web-0")'
${rights}`

export const sysdumpHelp = `
The archive has policies, EgressNodes, EgressAddresses, Nodes, Sallyport's own pods, its Events, settings and logs, and what each
agent says about its node. It has no Secrets, no kubeconfig, no pods of users, no values of environment variables and no content of
packets. It has names and IP addresses. With --flows, it also has the destinations of open flows.

Examples:
  sallyport sysdump
  sallyport sysdump --output-filename /tmp/report.tar.gz
${rights}`
