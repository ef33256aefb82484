import { spawn } from 'node:child_process'
import { get } from 'node:http'
import type { Probe } from './pod-spec.ts'

/** One look at a container. `pid` is its first process, `podIP` where it listens if the probe names no host. */
export function probeOnce(
  probe: Probe,
  pid: number,
  podIP: string,
  env: Readonly<Record<string, string>>,
): Promise<boolean> {
  if (probe.httpGet !== undefined) {
    const { path = '/', port, host = podIP } = probe.httpGet
    return new Promise((resolve) => {
      const request = get({ host, port, path, timeout: 1000 }, (response) => {
        response.resume()
        resolve((response.statusCode ?? 500) < 400)
      })
      request.on('error', () => resolve(false))
      request.on('timeout', () => request.destroy())
    })
  }
  if (probe.exec === undefined) return Promise.resolve(true)
  const words = ['--net', '--mount', '--uts', `--target=${pid}`, '--', ...probe.exec.command]
  return new Promise((resolve) => {
    const child = spawn('nsenter', words, { env, stdio: 'ignore', timeout: 2000 })
    child.on('error', () => resolve(false))
    child.on('exit', (code) => resolve(code === 0))
  })
}
