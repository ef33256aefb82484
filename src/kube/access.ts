import { readFileSync } from 'node:fs'

/** How to reach an API server, and as whom. */
export interface ClusterAccess {
  /** https://host:port */
  readonly server: string
  /** PEM, looked at with every connection; without one, the machine's own roots. */
  readonly ca?: string
  /** Asked for with every request: tokens rotate. Undefined: no credentials, or a client certificate. */
  readonly token: () => string | undefined | Promise<string | undefined>
  /** Gets another credential after the server refused one with this token. Undefined: there is no other. */
  readonly renew?: (refused: string | undefined) => Promise<void>
  readonly clientCertificate?: { readonly cert: string; readonly key: string } | undefined
  /** Whose name the server's certificate has, where it is not the address's. */
  readonly tlsServerName?: string
  readonly skipsTlsVerify?: boolean
  /** To speak for somebody else, which the server lets only some do. */
  readonly impersonate?: { readonly user: string; readonly groups: readonly string[] }
}

const mountedDirectory = '/var/run/secrets/kubernetes.io/serviceaccount'

/** Of the pod that this process runs in. The kubelet replaces what it mounts: the token hourly, the authority when it changes. */
export function inClusterAccess(environment: NodeJS.ProcessEnv = process.env): ClusterAccess {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = environment
  if (!host || !port)
    throw new Error(
      'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this process expects to run in a pod of the cluster',
    )
  const authority = host.includes(':') ? `[${host}]` : host
  return {
    server: `https://${authority}:${port}`,
    get ca() {
      return readFileSync(`${mountedDirectory}/ca.crt`, 'utf8')
    },
    token: () => readFileSync(`${mountedDirectory}/token`, 'utf8').trim(),
  }
}
