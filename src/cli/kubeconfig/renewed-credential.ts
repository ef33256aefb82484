import type { ClusterAccess } from '../../kube/access.ts'
import type { Credential } from './credential-plugin.ts'

/**
 * A credential that its plugin renews: when it has expired, or when the server refuses it. An upgrade can take longer than a token is
 * valid. Simultaneous requests share one renewal.
 */
export function renewedCredential(
  ask: () => Promise<Credential>,
  now: () => number = Date.now,
): Pick<ClusterAccess, 'token' | 'clientCertificate' | 'renew'> {
  let credential: Credential | undefined
  let asking: Promise<Credential> | undefined
  const renewed = async (): Promise<Credential> => {
    asking ??= ask().finally(() => {
      asking = undefined
    })
    credential = await asking
    return credential
  }
  const current = async (): Promise<Credential> =>
    credential !== undefined && now() <= credential.expiresMs ? credential : renewed()
  return {
    token: async () => (await current()).token,
    get clientCertificate() {
      return credential?.clientCertificate
    },
    async renew(refused) {
      if (credential === undefined || credential.token === refused) await renewed()
    },
  }
}
