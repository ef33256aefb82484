/* Objects of the tests of chained mode, each as the command that creates it. */

/** Of the alliance, to wherever it goes. */
export const policy = `kubectl apply -f - <<'END'
apiVersion: cilium.io/v2
kind: CiliumEgressGatewayPolicy
metadata: {name: outpost}
spec:
  selectors: [{podSelector: {matchLabels: {org: alliance}}}]
  destinationCIDRs: [0.0.0.0/0]
  egressGateway: {nodeSelector: {matchLabels: {egress-gw: "true"}}, interface: net0}
END`

/** Default-deny with one partner: a port of the outpost. */
export const allowOnly = (port: number | string): string => `kubectl apply -f - <<'END'
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: grounded}
spec:
  podSelector: {matchLabels: {crew: grounded}}
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
