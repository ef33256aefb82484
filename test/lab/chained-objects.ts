import { version } from '../../src/api/version.ts'
import { runtime } from './lab-under-test.ts'

/* Objects of the tests of chained mode, each as the command that creates it. */

export const pod = (name: string, org: string, node: string, image = 'docker.io/tgraf/netperf') =>
  `kubectl run ${name} --labels org=${org} --image ${image} --overrides '{"spec":{"nodeName":"${node}"}}'`

/** A pod that says whom it sees. The lab has no container image of its outpost, and the product's has Node.js. */
export const server = (name: string, node: string): string =>
  runtime === 'processes'
    ? pod(name, 'empire', node, 'quay.io/isovalent-dev/egressgw-whatismyip')
    : `${pod(name, 'empire', node, `docker.io/library/sallyport:${version}`)} --command -- /opt/sallyport/node_modules/.bin/node -e 'require("http").createServer((request, answer) => answer.end("source IP (" + request.socket.remoteAddress + ")")).listen(8000, "0.0.0.0")'`

/** Of one alliance, to wherever it goes. */
export const policyOf = (name: string): string => `kubectl apply -f - <<'END'
apiVersion: cilium.io/v2
kind: CiliumEgressGatewayPolicy
metadata: {name: ${name}}
spec:
  selectors: [{podSelector: {matchLabels: {org: alliance-${name}}}}]
  destinationCIDRs: [0.0.0.0/0]
  egressGateway: {nodeSelector: {matchLabels: {egress-gw: "true"}}, interface: net0}
END`

/** Default-deny for one crew with one partner: a port of the outpost. */
export const allowOnly = (crew: string, port: number | string): string => `kubectl apply -f - <<'END'
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: ${crew}}
spec:
  podSelector: {matchLabels: {crew: ${crew}}}
  policyTypes: [Egress]
  egress: [{to: [{ipBlock: {cidr: 172.18.0.7/32}}], ports: [{port: ${port}}]}]
END`

/** kube-proxy's rules for it are played by nftables. */
export const outsideService = `kubectl apply -f - <<'END'
apiVersion: v1
kind: Service
metadata: {name: outpost}
spec: {clusterIP: 10.96.0.77, ports: [{port: 80, protocol: TCP}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: outpost-1, labels: {kubernetes.io/service-name: outpost}}
addressType: IPv4
ports: [{port: 8000, protocol: TCP, name: ""}]
endpoints: [{addresses: [172.18.0.7]}]
END`
