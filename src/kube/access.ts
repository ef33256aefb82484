import { readFileSync } from 'node:fs'

/** How to reach an API server, and as which user. */
export interface ClusterAccess {
  /** https://host:port */
  readonly server: string
  /** PEM. It is read again for each connection. If missing, the machine's own roots are used. */
  readonly ca?: string
  /**
   * Called for every request, because tokens rotate. Returns undefined without credentials, or with a client certificate.
   */
  readonly token: () => string | undefined | Promise<string | undefined>
  /** Called after the server refused this token, to get another credential. Missing if there is no other. */
  readonly renew?: (refused: string | undefined) => Promise<void>
  readonly clientCertificate?: { readonly cert: string; readonly key: string } | undefined
  /** The name in the server's certificate, if it differs from the host in `server`. */
  readonly tlsServerName?: string
  readonly skipsTlsVerify?: boolean
  /** The user to impersonate. The server allows this to some users only. */
  readonly impersonate?: { readonly user: string; readonly groups: readonly string[] }
}

const mountedDirectory = '/var/run/secrets/kubernetes.io/serviceaccount'

/**
 * The access of the pod that this process runs in. The kubelet replaces the files: the token hourly, the authority when it
 * changes.
 */
export function inClusterAccess(
  configured?: { readonly host: string; readonly port: number },
  environment: NodeJS.ProcessEnv = process.env,
): ClusterAccess {
  const host = configured?.host ?? environment.KUBERNETES_SERVICE_HOST
  const port = configured?.port ?? environment.KUBERNETES_SERVICE_PORT
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
