import type { Address } from '../../net/address.ts'
import type { FailoverEffect, FailoverState, FailoverStep } from './state.ts'

/** Which gateways answer by a link changed. The programs choose the path of each packet by the same answers. */
export function noteLinks(before: FailoverState, answering: readonly Address[]): FailoverStep {
  const byLink = new Set(answering)
  const toLink = answering.filter((gateway) => !before.byLink.has(gateway))
  const toTunnel = [...before.byLink].filter((gateway) => !byLink.has(gateway))
  const { link, tunnel } = before.pathChanges
  return {
    state: {
      ...before,
      byLink,
      pathChanges: { link: link + toLink.length, tunnel: tunnel + toTunnel.length },
    },
    effects: [
      ...toLink.map((gateway) => logged(gateway, 'packets for the gateway take the link')),
      ...toTunnel.map((gateway) => logged(gateway, 'packets for the gateway take the tunnel')),
      { kind: 'reconcile' },
    ],
  }
}

function logged(gateway: Address, message: string): FailoverEffect {
  return { kind: 'log', level: 'info', fields: { gateway }, message }
}
