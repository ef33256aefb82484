import { readFileSync } from 'node:fs'
import { type Fields, fieldsOf } from './fields.ts'

/** The extension of a cluster that kubeconfigs use to pass configuration to credential plugins. */
const extensionName = 'client.authentication.k8s.io/exec'

/** What a plugin learns about the cluster if the kubeconfig asks for it. Files become their content, because a plugin may run in another folder. */
export function clusterInfo(cluster: Fields): Fields {
  const authority = cluster['certificate-authority']
  const data =
    cluster['certificate-authority-data'] ??
    (typeof authority === 'string' ? readFileSync(authority).toString('base64') : undefined)
  const extensions = Array.isArray(cluster.extensions) ? cluster.extensions.map(fieldsOf) : []
  const config = extensions.find(({ name }) => name === extensionName)?.extension
  const names = ['server', 'tls-server-name', 'insecure-skip-tls-verify', 'proxy-url', 'disable-compression']
  return {
    ...Object.fromEntries(names.filter((name) => name in cluster).map((name) => [name, cluster[name]])),
    ...(data === undefined ? {} : { 'certificate-authority-data': data }),
    ...(config === undefined ? {} : { config }),
  }
}
