import { availabilitySteps } from './availability.ts'
import {
  all,
  allowed,
  contains,
  curlFrom,
  deniedWith,
  deniedWithNodeIp,
  eachLine,
  granted,
  type Step,
  succeeds,
  tenTimes,
} from './step.ts'

/** The first half of the document: one gateway. */

const preparation: readonly Step[] = [
  {
    section: 'The cluster',
    title: 'The nodes are NotReady, because there is no CNI plugin yet',
    command: 'kubectl get nodes',
    expect: contains(
      /kind-control-plane\s+NotReady\s+control-plane/,
      ...['kind-worker', 'kind-worker2', 'kind-worker3', 'kind-worker4'].map(
        (name) => new RegExp(`${name}\\s+NotReady\\s+<none>`),
      ),
    ),
    retryForMs: 30_000,
  },
  ...['kind-worker3', 'kind-worker4'].map((node) => ({
    section: 'The cluster',
    title: `Keep other pods off ${node}`,
    command: `kubectl taint node ${node} egress-gw:NoSchedule`,
    expect: contains(`node/${node} tainted`),
  })),
  ...['kind-worker3', 'kind-worker4'].map((node) => ({
    section: 'The cluster',
    title: `Make ${node} a gateway`,
    command: `kubectl label nodes ${node} egress-gw=true`,
    expect: contains(`node/${node} labeled`),
  })),
  {
    section: 'The cluster',
    title: 'Show the network of the nodes',
    command: "docker network inspect -f '{{range.IPAM.Config}}{{.Subnet}}, {{end}}' kind",
    expect: contains('172.18.0.0/16'),
  },
  ...[
    ['kind-worker3', '172.18.0.42'],
    ['kind-worker4', '172.18.0.43'],
  ].flatMap(([node, address]) => [
    {
      section: 'The cluster',
      title: `Create a device for the egress IP on ${node}`,
      command: `docker exec ${node} ip link add net0 type dummy`,
      expect: succeeds(),
    },
    {
      section: 'The cluster',
      title: `Add the egress IP ${address} to it`,
      command: `docker exec ${node} ip a add ${address}/16 dev net0`,
      expect: succeeds(),
    },
  ]),
]

const installation: readonly Step[] = [
  {
    section: 'Install',
    title: 'Install Sallyport with the egress gateway enabled',
    command: `cilium install \\
  --set kubeProxyReplacement=strict \\
  --set egressGateway.enabled=true \\
  --set bpf.masquerade=true \\
  --set l7Proxy=false \\
  --set devices="{eth+,net+}"`,
    expect: succeeds(),
  },
  {
    section: 'Install',
    title: 'Wait until all agents are ready',
    command: 'cilium status --wait',
    expect: all(succeeds(), contains(/Desired: 5, Ready: 5\/5, Available: 5\/5/)),
  },
  {
    section: 'Install',
    title: 'The egress gateway is enabled',
    command: 'cilium config view | grep egress-gateway',
    expect: contains(
      /egress-gateway-reconciliation-trigger-interval\s+1s/,
      /enable-ipv4-egress-gateway\s+true/,
    ),
  },
  ...[
    ['3', 'kind-worker3', '172.18.0.4', '172.18.0.42', '10.244.4.0/24'],
    ['4', 'kind-worker4', '172.18.0.3', '172.18.0.43', '10.244.3.0/24'],
  ].flatMap(([number, node, nodeAddress, egressIp, podCidr]) => [
    {
      section: 'Install',
      title: `Find the agent's pod on ${node}`,
      command: `CILIUM${number}_POD=$(kubectl -n kube-system get po -l k8s-app=cilium --field-selector spec.nodeName=${node} -o name)`,
      expect: succeeds(),
    },
    {
      section: 'Install',
      title: `The agent has found eth0 and net0 on ${node}`,
      command: `kubectl -n kube-system exec -ti $CILIUM${number}_POD -- cilium status`,
      expect: contains(
        new RegExp(
          `KubeProxyReplacement: +Strict +\\[eth0 +${nodeAddress}\\b.*\\(Direct Routing\\).*net0 +${egressIp}\\b`,
        ),
        new RegExp(
          `Masquerading:\\s+BPF\\s+\\[eth0, net0\\]\\s+${podCidr}(?:, \\S+)? \\[IPv4: Enabled, IPv6: (En|Dis)abled\\]`,
        ),
      ),
    },
  ]),
]

const outpost: readonly Step[] = [
  {
    section: 'The outpost',
    title: 'Start a server outside the cluster that grants access to two addresses',
    command: `docker run -d \\
  --name remote-outpost \\
  --network kind \\
  -e ALLOWED_IP=${allowed} \\
   quay.io/isovalent-dev/egressgw-whatismyip:latest`,
    expect: succeeds(),
  },
  {
    section: 'The outpost',
    title: 'Find the address of the server',
    command: `OUTPOST=$(docker inspect -f '{{range.NetworkSettings.Networks}}{{.IPAddress}}{{end}}' remote-outpost)
echo $OUTPOST`,
    expect: contains('172.18.0.7'),
  },
  {
    section: 'The outpost',
    title: 'The server denies access from the host',
    command: 'curl http://$OUTPOST:8000',
    expect: deniedWith('172.18.0.1'),
    retryForMs: 10_000,
  },
  {
    section: 'The outpost',
    title: 'Start a pod of the empire',
    command: `kubectl run tiefighter \\
  --labels "org=empire,class=tiefighter" \\
  --image docker.io/tgraf/netperf`,
    expect: contains('pod/tiefighter created'),
  },
  {
    section: 'The outpost',
    title: 'Start a pod of the alliance',
    command: `kubectl run xwing \\
  --labels "org=alliance,class=xwing" \\
  --image docker.io/tgraf/netperf`,
    expect: contains('pod/xwing created'),
  },
  {
    section: 'The outpost',
    title: 'Both pods run',
    command: 'kubectl get pod --show-labels',
    expect: contains(/tiefighter\s+1\/1\s+Running.*org=empire/, /xwing\s+1\/1\s+Running.*org=alliance/),
    retryForMs: 30_000,
  },
  {
    section: 'The outpost',
    title: 'The Tie Fighter leaves with the address of its node',
    command: 'kubectl exec -ti tiefighter -- curl --max-time 2 http://$OUTPOST:8000',
    expect: deniedWithNodeIp,
  },
  {
    section: 'The outpost',
    title: 'So does the X-Wing',
    command: 'kubectl exec -ti xwing -- curl --max-time 2 http://$OUTPOST:8000',
    expect: deniedWithNodeIp,
  },
]

const policy: readonly Step[] = [
  {
    section: 'The policy',
    title: 'Send traffic of the alliance through the gateways',
    command: 'kubectl apply -f egress-gw-policy.yaml',
    expect: contains('ciliumegressgatewaypolicy.cilium.io/outpost created'),
  },
  {
    section: 'The policy',
    title: 'The X-Wing is granted access',
    command: curlFrom('xwing'),
    expect: granted('172.18.0.42'),
    retryForMs: 2_000,
  },
  {
    section: 'The policy',
    title: 'The Tie Fighter is not',
    command: curlFrom('tiefighter'),
    expect: deniedWithNodeIp,
  },
  {
    section: 'The policy',
    title: 'Start another pod of the alliance',
    command: `kubectl run ywing \\
  --labels "org=alliance,class=ywing" \\
  --image docker.io/tgraf/netperf`,
    expect: contains('pod/ywing created'),
  },
  {
    section: 'The policy',
    title: 'The Y-Wing runs',
    command: 'kubectl get po ywing',
    expect: contains(/ywing\s+1\/1\s+Running/),
    retryForMs: 30_000,
  },
  {
    section: 'The policy',
    title: 'The Y-Wing is granted access from its first packet on',
    command: curlFrom('ywing'),
    expect: granted('172.18.0.42'),
  },
]

const routing: readonly Step[] = [
  {
    section: 'The routing mechanism',
    title: 'Find the node of the X-Wing',
    command: 'kubectl get po xwing -o wide',
    showsNode: true,
    expect: contains(/xwing\s+1\/1\s+Running\s+0\s+\S+\s+10\.244\.\d+\.\d+\s+kind-worker2?\s/),
  },
  {
    section: 'The routing mechanism',
    title: 'Find the agent on that node',
    command: `kubectl -n kube-system get po -l k8s-app=cilium \\
  --field-selector spec.nodeName=kind-worker`,
    expect: contains(/NAME\s+READY\s+STATUS/, /cilium-\w+\s+1\/1\s+Running/),
  },
  {
    section: 'The routing mechanism',
    title: 'Show the egress table of that node',
    command: `kubectl -n kube-system exec -ti $(kubectl -n kube-system get po -l k8s-app=cilium --field-selector spec.nodeName=kind-worker -o name) -c cilium-agent -- \\
  cilium bpf egress list`,
    expect: contains(
      /Source IP\s+Destination CIDR\s+Egress IP\s+Gateway IP/,
      /10\.244\.\d+\.\d+\s+172\.18\.0\.0\/16\s+0\.0\.0\.0\s+172\.18\.0\.4\b/,
    ),
  },
  {
    section: 'The routing mechanism',
    title: 'Get the address of the gateway from it',
    command: `GATEWAY_IP=$(kubectl -n kube-system exec -ti $(kubectl -n kube-system get po -l k8s-app=cilium --field-selector spec.nodeName=kind-worker -o name) -c cilium-agent -- cilium bpf egress list -o json | jq -r '.[0].GatewayIP')
echo $GATEWAY_IP`,
    expect: contains('172.18.0.4'),
  },
  {
    section: 'The routing mechanism',
    title: 'Find the node with that address',
    command: `EGRESS_NODE=$(kubectl get no  -o json | jq -r ".items[] | select(.status.addresses[].address==\\"$GATEWAY_IP\\").metadata.name")
echo $EGRESS_NODE`,
    expect: contains('kind-worker3'),
  },
  {
    section: 'The routing mechanism',
    title: 'The egress table of the gateway shows the egress IP',
    command: `CILIUM_POD=$(kubectl -n kube-system get po -l k8s-app=cilium --field-selector spec.nodeName=$EGRESS_NODE -o name)
kubectl -n kube-system exec -ti $CILIUM_POD -c cilium-agent -- \\
  cilium bpf egress list`,
    expect: contains(/10\.244\.\d+\.\d+\s+172\.18\.0\.0\/16\s+172\.18\.0\.42\s+172\.18\.0\.4\b/),
  },
  {
    section: 'The routing mechanism',
    title: 'All ten requests use the egress IP',
    command: tenTimes,
    expect: eachLine(10, /^Access granted\. Your source IP \(172\.18\.0\.42\) matches an allowed IP\.$/),
  },
]

/** Without what availability.ts adds. */
export const firstHalf: readonly Step[] = [...preparation, ...installation, ...outpost, ...policy, ...routing]

export const steps: readonly Step[] = [...firstHalf, ...availabilitySteps]
