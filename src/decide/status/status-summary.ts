import type { PolicySummary } from '../../api/policy-fields.ts'
import type { Gateway } from '../gateways/gateways.ts'

/** The columns of `kubectl get` for a policy. A column prints a text, not a list. */
export function summarise(gateways: readonly Gateway[], pods: number): PolicySummary {
  const join = (texts: readonly (string | undefined)[]): string =>
    [...new Set(texts.filter((text) => text !== undefined))].join(', ')
  return {
    gateways: join(gateways.map(({ node }) => node.name)),
    egressIPs: join(gateways.flatMap(({ egressIps }) => [egressIps[4], egressIps[6]])),
    pods,
  }
}
