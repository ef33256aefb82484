import { all, contains, eachLine, type Step, succeeds, tenTimes, variesOver } from './step.ts'

/** The document's second half: several gateways, zones, and one that fails. */

const [east, west] = ['172.18.0.42', '172.18.0.43']
const anyOf = (...addresses: readonly string[]) =>
  new RegExp(
    `^Access granted\\. Your source IP \\((${addresses.join('|').replaceAll('.', '\\.')})\\) matches an allowed IP\\.$`,
  )

const highAvailability: readonly Step[] = [
  {
    section: 'High availability',
    title: 'As before',
    command: tenTimes,
    expect: eachLine(10, anyOf(east)),
  },
  {
    section: 'High availability',
    title: 'The policy with one gateway goes',
    command: 'kubectl delete ciliumegressgatewaypolicies outpost',
    expect: contains('ciliumegressgatewaypolicy.cilium.io "outpost" deleted'),
  },
  {
    section: 'High availability',
    title: 'One with several comes',
    command: 'kubectl apply -f egress-gw-policy-ha.yaml',
    expect: contains('isovalentegressgatewaypolicy.isovalent.com/outpost-ha created'),
  },
  {
    section: 'High availability',
    title: 'Every agent has it',
    command: 'kubectl wait --for=condition=Ready isovalentegressgatewaypolicies/outpost-ha --timeout=10s',
    expect: contains('condition met'),
  },
  {
    section: 'High availability',
    title: 'Both addresses are in use',
    command: tenTimes,
    expect: all(eachLine(10, anyOf(east, west)), variesOver(east, west)),
    retryForMs: 5_000,
  },
  {
    section: 'High availability',
    title: 'One gateway is taken out of the pool',
    command: 'kubectl label node kind-worker3 egress-gw-',
    expect: contains('node/kind-worker3 unlabeled'),
  },
  {
    section: 'High availability',
    title: 'The other one goes on',
    command: tenTimes,
    expect: eachLine(10, anyOf(west)),
  },
  {
    section: 'High availability',
    title: 'It is put back',
    command: 'kubectl label node kind-worker3 egress-gw=true',
    expect: contains('node/kind-worker3 labeled'),
  },
  {
    section: 'High availability',
    title: 'Both addresses are in use again',
    command: tenTimes,
    expect: all(eachLine(10, anyOf(east, west)), variesOver(east, west)),
    retryForMs: 5_000,
  },
]

const zones: readonly Step[] = [
  {
    section: 'Zones',
    title: 'Two nodes in the east',
    command: `kubectl label node kind-worker topology.kubernetes.io/zone=east
kubectl label node kind-worker3 topology.kubernetes.io/zone=east`,
    expect: contains('node/kind-worker labeled', 'node/kind-worker3 labeled'),
  },
  {
    section: 'Zones',
    title: 'And two in the west',
    command: `kubectl label node kind-worker2 topology.kubernetes.io/zone=west
kubectl label node kind-worker4 topology.kubernetes.io/zone=west`,
    expect: contains('node/kind-worker2 labeled', 'node/kind-worker4 labeled'),
  },
  {
    section: 'Zones',
    title: 'All four have a zone',
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
    title: 'What azAffinity may be',
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
    title: 'The reader adds it to the file',
    command: `sed -i 's/^spec:$/spec:\\n  azAffinity: localOnlyFirst/' egress-gw-policy-ha.yaml`,
    expect: succeeds(),
  },
  {
    section: 'Zones',
    title: 'And applies it',
    command: 'kubectl apply -f egress-gw-policy-ha.yaml',
    expect: contains('isovalentegressgatewaypolicy.isovalent.com/outpost-ha configured'),
  },
  {
    section: 'Zones',
    title: 'The policy says which gateways are active, by zone',
    command: 'kubectl get isovalentegressgatewaypolicies outpost-ha -o yaml | yq',
    expect: contains(
      'azAffinity: localOnlyFirst',
      /groupStatuses:\n\s*- activeGatewayIPs:\n\s*- 172\.18\.0\.4\n\s*- 172\.18\.0\.3\n/,
      /activeGatewayIPsByAZ:\n\s*east:\n\s*- 172\.18\.0\.4\n\s*west:\n\s*- 172\.18\.0\.3\n/,
      /healthyGatewayIPs:\n\s*- 172\.18\.0\.4\n\s*- 172\.18\.0\.3\n/,
      'observedGeneration: 2',
    ),
    retryForMs: 10_000,
  },
  {
    section: 'Zones',
    title: "The X-Wing's node",
    command: 'kubectl get po xwing -o wide',
    showsNode: true,
    expect: contains(/xwing\s+1\/1\s+Running\s+0\s+\S+\s+10\.244\.\d+\.\d+\s+kind-worker\s/),
  },
  {
    section: 'Zones',
    title: 'Its zone',
    command: `kubectl get no kind-worker --show-labels | \\
  grep --color topology.kubernetes.io/zone=`,
    expect: contains(/kind-worker\s.*zone=east/),
  },
  {
    section: 'Zones',
    title: 'The egress IP of the gateway there',
    command: 'docker exec kind-worker3 ip -br add show dev net0',
    expect: contains(/net0\s+\S+\s+172\.18\.0\.42\/16/),
  },
  {
    section: 'Zones',
    title: 'All traffic leaves by it',
    command: tenTimes,
    expect: eachLine(10, anyOf(east)),
  },
]

const failure: readonly Step[] = [
  {
    section: 'A gateway fails',
    title: 'The node stands still',
    command: 'docker pause kind-worker3',
    expect: contains('kind-worker3'),
  },
  {
    section: 'A gateway fails',
    title: 'All traffic leaves by the other zone',
    typedInMs: 500,
    command: tenTimes,
    expect: eachLine(10, anyOf(west)),
  },
  {
    section: 'A gateway fails',
    title: 'The node goes on',
    command: 'docker unpause kind-worker3',
    expect: contains('kind-worker3'),
  },
  {
    section: 'A gateway fails',
    title: 'Traffic is back in its zone',
    typedInMs: 500,
    command: tenTimes,
    expect: eachLine(10, anyOf(east)),
  },
]

export const availabilitySteps: readonly Step[] = [...highAvailability, ...zones, ...failure]
