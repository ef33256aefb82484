import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * A CA and a certificate of this server, made once, by the openssl command: Node.js can read X.509 and not write it.
 * `hosts` are addresses and names that clients use.
 */
export function ensureCertificates(
  directory: string,
  hosts: readonly string[],
): { ca: string; cert: string; key: string } {
  const path = (name: string): string => join(directory, name)
  if (!existsSync(path('server.crt'))) {
    const names = hosts.map((host) => (/^[\d.]+$|:/.test(host) ? `IP:${host}` : `DNS:${host}`)).join(',')
    writeFileSync(path('extensions'), `subjectAltName=${names}\nextendedKeyUsage=serverAuth\n`)
    const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    openssl(
      'req',
      '-x509',
      ...key,
      '-keyout',
      path('ca.key'),
      '-out',
      path('ca.crt'),
      '-days',
      '3650',
      '-subj',
      '/CN=sallyport-lab-ca',
    )
    openssl(
      'req',
      ...key,
      '-keyout',
      path('server.key'),
      '-out',
      path('server.csr'),
      '-subj',
      '/CN=kube-apiserver',
    )
    openssl(
      'x509',
      '-req',
      '-in',
      path('server.csr'),
      '-CA',
      path('ca.crt'),
      '-CAkey',
      path('ca.key'),
      '-CAcreateserial',
      '-out',
      path('server.crt'),
      '-days',
      '3650',
      '-extfile',
      path('extensions'),
    )
  }
  const read = (name: string): string => readFileSync(path(name), 'utf8')
  return { ca: read('ca.crt'), cert: read('server.crt'), key: read('server.key') }
}

function openssl(...words: readonly string[]): void {
  try {
    execFileSync('openssl', words, { stdio: ['ignore', 'ignore', 'pipe'] })
  } catch (cause) {
    throw new Error(
      'openssl failed or is missing (apt-get install openssl); the API server needs it for its certificate',
      { cause },
    )
  }
}
