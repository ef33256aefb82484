import assert from 'node:assert/strict'
import type { ExplainRequest, Explanation } from '../../src/agent/api/explain/explanation.ts'
import type { World } from '../../src/decide/world.ts'
import type { realEnding } from './explain-arrangement.ts'

/* What `explain` says, against what the wire shows. */

/** The world has the pod, and the pod an address of the destination's family. */
export function canSend({ pods }: World, { pod, to }: Pick<ExplainRequest, 'pod' | 'to'>): boolean {
  return pods.some(
    ({ name, ips }) => name === pod && ips.some((each) => each.includes(':') === to.includes(':')),
  )
}

/** By the link or by the tunnel, a packet for a gateway is of one kind. */
export function kindsOf({ program, service }: Explanation): readonly string[] {
  const verdict = program.verdict.replace(/_BY_LINK$/, '')
  if (service === undefined) return [verdict]
  const isAffine = service.affinitySeconds > 0 && service.eligibleCount === 1 && service.others.length > 1
  return [verdict, `service: ${verdict}`, ...(isAffine ? ['service: an affine endpoint'] : [])]
}

/** A packet that chooses for itself gets one of the endpoints that were told. */
export function checkChoice({ service }: Explanation, { endpoint }: ReturnType<typeof realEnding>): void {
  const context = JSON.stringify({ service, endpoint })
  if (endpoint === undefined) assert.equal(service?.eligibleCount ?? 0, 0, context)
  else
    assert.ok(
      service?.eligible.some((each) => each.address === endpoint.address && each.port === endpoint.port),
      context,
    )
}

export function check(
  said: Explanation,
  real: { readonly verdict: string; readonly egressIp: string | undefined },
): void {
  const { decision, program, agrees } = said
  const context = JSON.stringify({ said, real })
  assert.ok(agrees, `the program and the decision disagree: ${context}`)
  if (decision.isOpen !== undefined) return
  assert.ok(decision.verdicts.includes(real.verdict), `the wire shows something else: ${context}`)
  if (decision.verdicts.length === 1) assert.equal(program.verdict, real.verdict)
  if (real.egressIp !== undefined)
    assert.ok(
      decision.egressIps.some((each) => each === real.egressIp),
      context,
    )
}

/** A packet for a gateway goes to the one that holds its egress IP, by the link or by the tunnel. */
export function checkHolder({ program: { verdict, egressIp, holder }, egressIps }: Explanation): void {
  if (!verdict.startsWith('SENT_TO_HOLDER')) return
  assert.equal(holder, egressIps.find(({ address }) => address === egressIp)?.holder)
}
