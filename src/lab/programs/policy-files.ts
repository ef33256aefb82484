/** The walkthrough's two files, as its reader finds them in the home folder. */
export const policyFiles: Readonly<Record<string, string>> = {
  'egress-gw-policy.yaml': `apiVersion: cilium.io/v2
kind: CiliumEgressGatewayPolicy
metadata:
  name: outpost
spec:
  selectors:
    - podSelector:
        matchLabels:
          org: alliance
  destinationCIDRs:
    - 172.18.0.0/16
  egressGateway:
    nodeSelector:
      matchLabels:
        egress-gw: "true"
    interface: net0
`,
  'egress-gw-policy-ha.yaml': `apiVersion: isovalent.com/v1
kind: IsovalentEgressGatewayPolicy
metadata:
  name: outpost-ha
spec:
  selectors:
    - podSelector:
        matchLabels:
          org: alliance
  destinationCIDRs:
    - 172.18.0.0/16
  egressGroups:
    - nodeSelector:
        matchLabels:
          egress-gw: "true"
      interface: net0
`,
}
