import { all, contains, eachLine, type Step, succeeds, tenTimes, variesOver } from './step.ts'

/** The second half of the document: several gateways, zones, and a gateway that fails. */

const [east, west] = ['172.18.0.42', '172.18.0.43']
const anyOf = (...addresses: readonly string[]) =>
  new RegExp(
    `^Access granted\\. Your source IP \\((${addresses.join('|').replaceAll('.', '\\.')})\\) matches an allowed IP\\.$`,
  )

const highAvailability: readonly Step[] = [
  {
    section: 'High availability',
    title: 'With one gateway, all requests use its egress IP',
    command: tenTimes,
    expect: eachLine(10, anyOf(east)),
  },
  {
    section: 'High availability',
    title: 'Delete the policy with one gateway',
    command: 'kubectl delete ciliumegressgatewaypolicies outpost',
    expect: contains('ciliumegressgatewaypolicy.cilium.io "outpost" deleted'),
  },
  {
    section: 'High availability',
    title: 'Create a policy with several gateways',
    command: 'kubectl apply -f egress-gw-policy-ha.yaml',
    expect: contains('isovalentegressgatewaypolicy.isovalent.com/outpost-ha created'),
  },
  {
    section: 'High availability',
    title: 'Wait until the policy is ready',
    command: 'kubectl wait --for=condition=Ready isovalentegressgatewaypolicies/outpost-ha --timeout=10s',
    expect: contains('condition met'),
  },
  {
    section: 'High availability',
    title: 'The requests use both egress IPs',
    command: tenTimes,
    expect: all(eachLine(10, anyOf(east, west)), variesOver(east, west)),
    retryForMs: 5_000,
  },
  {
    section: 'High availability',
    title: 'Remove one gateway from the group',
    command: 'kubectl label node kind-worker3 egress-gw-',
    expect: contains('node/kind-worker3 unlabeled'),
  },
  {
    section: 'High availability',
    title: 'All requests use the other egress IP',
    command: tenTimes,
    expect: eachLine(10, anyOf(west)),
  },
  {
    section: 'High availability',
    title: 'Add the gateway to the group again',
    command: 'kubectl label node kind-worker3 egress-gw=true',
    expect: contains('node/kind-worker3 labeled'),
  },
  {
    section: 'High availability',
    title: 'The requests use both egress IPs again',
    command: tenTimes,
    expect: all(eachLine(10, anyOf(east, west)), variesOver(east, west)),
    retryForMs: 5_000,
  },
]

const zones: readonly Step[] = [
  {
    section: 'Zones',
    title: 'Label two nodes with the zone east',
    command: `kubectl label node kind-worker topology.kubernetes.io/zone=east
kubectl label node kind-worker3 topology.kubernetes.io/zone=east`,
    expect: contains('node/kind-worker labeled', 'node/kind-worker3 labeled'),
  },
  {
    section: 'Zones',
    title: 'Label two nodes with the zone west',
    command: `kubectl label node kind-worker2 topology.kubernetes.io/zone=west
kubectl label node kind-worker4 topology.kubernetes.io/zone=west`,
    expect: contains('node/kind-worker2 labeled', 'node/kind-worker4 labeled'),
  },
  {
    section: 'Zones',
    title: 'All four nodes have a zone',
    command: `kubectl get no --show-labels | \\
  grep --color topology.kubernetes.io/zone=`,
    expect: contains(
      /kind-worker\s.*zone=east/,
      /kind-worker3\s.*zone=east/,
      /kind-worker2\s.*zone=west/,
      /kind-worker4\s.*zone=west/,
    ),
  },
  {
    section: 'Zones',
    title: 'Show the modes of azAffinity',
    command: 'kubectl explain isovalentegressgatewaypolicies.spec.azAffinity',
    expect: contains(
      /GROUP:\s+isovalent\.com/,
      /KIND:\s+IsovalentEgressGatewayPolicy/,
      /FIELD: azAffinity <string>/,
      'AZAffinity controls the AZ affinity of the gateway nodes to the source pods',
      '4 modes are supported: - disabled: no AZ affinity - localOnly: only local',
      'This mode is supposed to be used in combination with',
    ),
  },
  {
    section: 'Zones',
    title: 'Add azAffinity to the policy file',
    command: `sed -i 's/^spec:$/spec:\\n  azAffinity: localOnlyFirst/' egress-gw-policy-ha.yaml`,
    expect: succeeds(),
  },
  {
    section: 'Zones',
    title: 'Apply the file',
    command: 'kubectl apply -f egress-gw-policy-ha.yaml',
    expect: contains('isovalentegressgatewaypolicy.isovalent.com/outpost-ha configured'),
  },
  {
    section: 'Zones',
    title: 'The status of the policy lists the active gateways of each zone',
    command: 'kubectl get isovalentegressgatewaypolicies outpost-ha -o yaml | yq',
    expect: contains(
      'azAffinity: localOnlyFirst',
      /groupStatuses:\n\s*- activeGatewayIPs:\n\s*- 172\.18\.0\.4\n\s*- 172\.18\.0\.3\n/,
      /activeGatewayIPsByAZ:\n\s*east:\n\s*- 172\.18\.0\.4\n\s*west:\n\s*- 172\.18\.0\.3\n/,
      /healthyGatewayIPs:\n\s*- 172\.18\.0\.4\n\s*- 172\.18\.0\.3\n/,
      /* Not before all nodes have applied it. */
      /observedGeneration: 2\n\s*reason: GatewaysFound\n\s*status: "True"\n\s*type: Ready\n/,
    ),
    retryForMs: 30_000,
  },
  {
    section: 'Zones',
    title: 'Find the node of the X-Wing',
    command: 'kubectl get po xwing -o wide',
    showsNode: true,
    expect: contains(/xwing\s+1\/1\s+Running\s+0\s+\S+\s+10\.244\.\d+\.\d+\s+kind-worker\s/),
  },
  {
    section: 'Zones',
    title: 'Show the zone of that node',
    command: `kubectl get no kind-worker --show-labels | \\
  grep --color topology.kubernetes.io/zone=`,
    expect: contains(/kind-worker\s.*zone=east/),
  },
  {
    section: 'Zones',
    title: 'Show the egress IP of the gateway in that zone',
    command: 'docker exec kind-worker3 ip -br add show dev net0',
    expect: contains(/net0\s+\S+\s+172\.18\.0\.42\/16/),
  },
  {
    section: 'Zones',
    title: 'All requests use that egress IP',
    command: tenTimes,
    expect: eachLine(10, anyOf(east)),
  },
]

const failure: readonly Step[] = [
  {
    section: 'A gateway fails',
    title: 'Freeze the gateway',
    command: 'docker pause kind-worker3',
    expect: contains('kind-worker3'),
  },
  {
    section: 'A gateway fails',
    title: 'All requests use the gateway of the other zone',
    typedInMs: 500,
    command: tenTimes,
    expect: eachLine(10, anyOf(west)),
  },
  {
    section: 'A gateway fails',
    title: 'Resume the gateway',
    command: 'docker unpause kind-worker3',
    expect: contains('kind-worker3'),
  },
  {
    section: 'A gateway fails',
    title: 'All requests use the gateway of their own zone again',
    typedInMs: 500,
    command: tenTimes,
    expect: eachLine(10, anyOf(east)),
  },
]

export const availabilitySteps: readonly Step[] = [...highAvailability, ...zones, ...failure]
