/** The names of a kind that Sallyport defines. */
export interface Kind {
  readonly group: string
  readonly version: string
  readonly kind: string
  readonly plural: string
  readonly singular: string
  readonly shortNames: readonly string[]
  readonly categories: readonly string[]
}

export const kinds = {
  ciliumEgressGatewayPolicy: {
    group: 'cilium.io',
    version: 'v2',
    kind: 'CiliumEgressGatewayPolicy',
    plural: 'ciliumegressgatewaypolicies',
    singular: 'ciliumegressgatewaypolicy',
    shortNames: ['cegp'],
    categories: ['cilium', 'ciliumpolicy'],
  },
  isovalentEgressGatewayPolicy: {
    group: 'isovalent.com',
    version: 'v1',
    kind: 'IsovalentEgressGatewayPolicy',
    plural: 'isovalentegressgatewaypolicies',
    singular: 'isovalentegressgatewaypolicy',
    shortNames: ['iegp'],
    categories: ['cilium', 'ciliumpolicy'],
  },
  egressNode: {
    group: 'sallyport.dev',
    version: 'v1alpha1',
    kind: 'EgressNode',
    plural: 'egressnodes',
    singular: 'egressnode',
    shortNames: ['enode'],
    categories: ['sallyport'],
  },
  egressAddress: {
    group: 'sallyport.dev',
    version: 'v1alpha1',
    kind: 'EgressAddress',
    plural: 'egressaddresses',
    singular: 'egressaddress',
    shortNames: ['eaddr'],
    categories: ['sallyport'],
  },
} as const satisfies Record<string, Kind>

/** The label by which install and uninstall recognise their own objects. */
export const managedByLabel = { 'app.kubernetes.io/managed-by': 'sallyport' }
