import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Logger } from '../runtime/log.ts'

const binaryDirectory = '/opt/cni/bin'
const configurationDirectory = '/etc/cni/net.d'

/** Sorted first among a node's configurations: the runtime takes the first. */
const configurationName = '05-sallyport.conflist'

/**
 * Puts the plugin and its configuration where the container runtime looks. The configuration is what makes the node
 * Ready, so it comes last, and only when the agent can answer.
 */
export function installPlugin(socketPath: string, log: Logger): void {
  const plugin = new URL('../cni/main.ts', import.meta.url).pathname
  const script = [
    '#!/bin/sh',
    '# Made by the Sallyport agent when it starts.',
    `exec ${process.execPath} --disable-warning=ExperimentalWarning ${plugin}`,
    '',
  ].join('\n')
  replace(binaryDirectory, 'sallyport-cni', script, 0o755)
  const configuration = {
    cniVersion: '1.0.0',
    name: 'sallyport',
    plugins: [{ type: 'sallyport-cni', agentSocket: socketPath }],
  }
  replace(configurationDirectory, configurationName, `${JSON.stringify(configuration, null, 2)}\n`, 0o644)
  log.info({ file: join(configurationDirectory, configurationName) }, 'the CNI plugin is in place')
}

/** Nobody ever sees half a file. */
function replace(directory: string, name: string, content: string, mode: number): void {
  mkdirSync(directory, { recursive: true })
  const path = join(directory, name)
  if (readIfThere(path) === content) return
  writeFileSync(`${path}.new`, content)
  chmodSync(`${path}.new`, mode)
  renameSync(`${path}.new`, path)
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
