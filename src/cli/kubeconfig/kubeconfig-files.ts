import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'

/** The files that kubectl reads: all files of $KUBECONFIG, or ~/.kube/config. */
export function usualKubeconfigs(): readonly string[] {
  const named = (process.env.KUBECONFIG ?? '').split(delimiter).filter((each) => each !== '')
  return named.length > 0 ? named : [join(homedir(), '.kube/config')]
}

/** Whether the user has a kubeconfig. In a pod, only $KUBECONFIG counts. */
export function hasKubeconfig(): boolean {
  if (process.env.KUBECONFIG) return true
  return process.env.KUBERNETES_SERVICE_HOST === undefined && usualKubeconfigs().some(existsSync)
}
