import { resolve } from '../../src/decide/resolve.ts'
import type { ServicePort } from '../../src/decide/tables.ts'
import type { World, WorldEndpoint, WorldEndpoints, WorldService } from '../../src/decide/world.ts'
import { address, world } from './world-builder.ts'

/* Services and their endpoints, as the agent has read them. */

export const outpost: WorldService = {
  namespace: 'default',
  name: 'outpost',
  addresses: [address('10.96.0.7')],
  external: [],
  ports: [{ name: 'http', port: 80, protocol: 'TCP' }],
  affinityMs: 0,
  isLocal: false,
  isLocalForClients: false,
  sources: [],
}

export const ready = (text: string, parts: Partial<WorldEndpoint> = {}): WorldEndpoint => ({
  address: address(text),
  isEnding: false,
  ...parts,
})

export const slice = (addresses: readonly string[], parts: Partial<WorldEndpoints> = {}): WorldEndpoints => ({
  namespace: 'default',
  service: 'outpost',
  ports: [{ name: 'http', port: 8000, protocol: 'TCP' }],
  endpoints: addresses.map((text) => ready(text)),
  ...parts,
})

/** What Sallyport makes of them where it replaces kube-proxy. */
export function allOf(
  services: readonly WorldService[],
  endpoints: readonly WorldEndpoints[],
  parts: Partial<World> = {},
): readonly ServicePort[] {
  const settings = { ...world().settings, replacesKubeProxy: true }
  return resolve(world({ ...parts, services, endpoints, settings })).services
}

export const addressesOf = (found: readonly { readonly address: string }[] | undefined) =>
  found?.map((each) => each.address)
