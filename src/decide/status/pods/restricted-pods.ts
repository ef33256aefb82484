import type { DeniedPods } from '../../../api/egress-node.ts'

/** Limits of a node's report and of a message. People read them, and more entries would tell them nothing new. */
export const maxReported = 64
export const maxNamed = 3

/** Of which pods a message is, and which NetworkPolicies restrict them, by what all nodes report of one egress policy. */
export function nameRestricted(reports: readonly Omit<DeniedPods, 'policy'>[]): {
  readonly subject: string
  readonly networkPolicies: string
} {
  const pods = reports.reduce((sum, report) => sum + report.pods, 0)
  const named = [...new Set(reports.flatMap(({ networkPolicies }) => networkPolicies))].sort()
  const example = reports[0]?.example
  return {
    subject: pods === 1 ? `pod ${example}` : `${pods} pods, for example ${example}`,
    networkPolicies: named.slice(0, maxNamed).join(', '),
  }
}
