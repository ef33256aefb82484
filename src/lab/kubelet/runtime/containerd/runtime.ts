import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { basename } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { containerdNamespace, containerdSocket } from '../../../containerd/configuration.ts'
import { identify, isRunning, run } from '../../../machines/machine.ts'
import { findImage, unknownImage } from '../../../programs/images.ts'
import { ImageProblem } from '../../containers/container-problem.ts'
import type { CommandResult } from '../../containers/probes.ts'
import { logDirectory, type RunningContainer, type RunningPod } from '../../containers/running-pods.ts'
import type { Container, Pod } from '../../pod-spec.ts'
import {
  type ContainerRuntime,
  type ContainerStart,
  type Execution,
  type Sandbox,
  underTerminal,
  unknownExitCode,
} from '../runtime.ts'
import { isTimeout, isUnknown, RuntimeClient } from './client.ts'
import { decodeLog } from './log-format.ts'
import { containerConfig, sandboxConfig } from './pod-config.ts'

interface ContainerStatus {
  readonly status: { readonly state: string; readonly exit_code: number }
  readonly info: Readonly<Record<string, string>>
}

/** How often it is looked whether a container's first process is there. */
const watchEveryMs = 100

/**
 * ctr passes on the line ends that the container's terminal has made, so the terminal around it must not change them. If a command
 * ends at once, ctr reports that it cannot resize the terminal of a stopped container. No user of kubectl sees such a line.
 */
const inTerminal =
  'stty -onlcr; errors=$(mktemp); "$@" 2>"$errors"; code=$?; grep -v "resize pty" "$errors" >&2; rm -f "$errors"; exit $code'

/** Containers by Debian's containerd and runc, which this kubelet drives by the Container Runtime Interface. */
export class ContainerdRuntime implements ContainerRuntime {
  readonly scheme = 'containerd'
  readonly version: string
  readonly #client: RuntimeClient
  readonly #watches = new Map<string, NodeJS.Timeout>()

  private constructor(client: RuntimeClient, version: string) {
    this.#client = client
    this.version = version
  }

  static async connect(): Promise<ContainerdRuntime> {
    const client = new RuntimeClient(containerdSocket)
    const { runtime_version: version } = await client.call<{ runtime_version: string }>('Version', {})
    return new ContainerdRuntime(client, `containerd://${version}`)
  }

  /** Nothing is pulled. An image that stands for others gets their names when a pod asks for them. */
  async requireImage({ image }: Container): Promise<void> {
    if (await this.#hasImage(image)) return
    const known = findImage(image)
    if (known?.archived === undefined) throw new ImageProblem(unknownImage(image))
    const tag = /:([^:/@]+)(@.*)?$/.exec(image)?.[1] ?? 'latest'
    const words = ['images', 'tag', '--force', known.archived, `${known.name}:${tag}`]
    run('ctr', ['--address', containerdSocket, '--namespace', containerdNamespace, ...words])
    if (!(await this.#hasImage(image))) throw new ImageProblem(`the lab has no image for the name ${image}`)
  }

  async #hasImage(image: string): Promise<boolean> {
    const answer = await this.#client.call<{ image: { id: string } | null }>('ImageStatus', {
      image: { image },
    })
    return answer.image !== null
  }

  async startSandbox(pod: Pod): Promise<Sandbox> {
    const uid = pod.metadata.uid ?? ''
    await this.#removeLeftOver(uid)
    const { pod_sandbox_id: id } = await this.#client.call<{ pod_sandbox_id: string }>('RunPodSandbox', {
      config: sandboxConfig(pod, logDirectory(uid)),
    })
    const { status } = await this.#client.call<{
      status: { network: { ip: string; additional_ips: readonly { ip: string }[] } | null }
    }>('PodSandboxStatus', { pod_sandbox_id: id })
    const { ip = '', additional_ips: more = [] } = status.network ?? {}
    return { id, podIPs: [ip, ...more.map((each) => each.ip)].filter((address) => address !== '') }
  }

  /** A kubelet that was killed may have started a sandbox without having noted it. */
  async #removeLeftOver(uid: string): Promise<void> {
    const { items } = await this.#client.call<{
      items: readonly { id: string; metadata: { uid: string } }[]
    }>('ListPodSandbox', {})
    for (const { id, metadata } of items) if (metadata.uid === uid) await this.#remove(id)
  }

  async stopSandbox({ sandboxId }: RunningPod): Promise<void> {
    if (sandboxId !== undefined) await this.#remove(sandboxId)
  }

  async #remove(id: string): Promise<void> {
    try {
      await this.#client.call('StopPodSandbox', { pod_sandbox_id: id })
      await this.#client.call('RemovePodSandbox', { pod_sandbox_id: id })
    } catch (error) {
      if (!isUnknown(error)) throw error
    }
  }

  async startContainer(start: ContainerStart): Promise<RunningContainer> {
    const { pod, running, container, restarts, logFile } = start
    const before = running.containers[container.name]?.id
    if (before !== undefined) await this.#client.call('RemoveContainer', { container_id: before })
    const { container_id: id } = await this.#client.call<{ container_id: string }>('CreateContainer', {
      pod_sandbox_id: running.sandboxId,
      config: containerConfig(start, basename(logFile)),
      sandbox_config: sandboxConfig(pod, logDirectory(running.uid)),
    })
    try {
      await this.#client.call('StartContainer', { container_id: id })
    } catch (error) {
      await this.#client.call('RemoveContainer', { container_id: id }).catch(() => {})
      throw error
    }
    const { info } = await this.#status(id)
    const { pid } = JSON.parse(info.info ?? '{}') as { pid?: number }
    return { id, process: identify(pid ?? 0), startedAt: new Date().toISOString(), restarts }
  }

  #status(id: string): Promise<ContainerStatus> {
    return this.#client.call('ContainerStatus', { container_id: id, verbose: true })
  }

  watchContainer({ id, process: process_ }: RunningContainer, onExit: (code: number) => void): void {
    if (id === undefined || this.#watches.has(id)) return
    const timer = setInterval(() => {
      if (isRunning(process_) && process_.startedAt !== '') return
      clearInterval(timer)
      this.#watches.delete(id)
      void this.exitCode({ id }).then(onExit)
    }, watchEveryMs)
    this.#watches.set(id, timer)
  }

  /** The process ends before the runtime reports that. */
  async exitCode({ id = '' }: Pick<RunningContainer, 'id'>): Promise<number> {
    for (let tries = 0; tries < 50; tries++, await sleep(watchEveryMs)) {
      const { status } = await this.#status(id).catch((error: unknown) => {
        if (isUnknown(error)) return { status: { state: 'CONTAINER_EXITED', exit_code: unknownExitCode } }
        return { status: { state: 'CONTAINER_UNKNOWN', exit_code: unknownExitCode } }
      })
      if (status.state === 'CONTAINER_EXITED') return status.exit_code
    }
    return unknownExitCode
  }

  async stopContainer({ id }: RunningContainer, graceSeconds: number): Promise<void> {
    await this.#client
      .call('StopContainer', { container_id: id, timeout: graceSeconds })
      .catch((error: unknown) => {
        if (!isUnknown(error)) throw error
      })
  }

  async execSync({ container, words }: Execution, timeoutMs: number): Promise<CommandResult> {
    try {
      const {
        stdout,
        stderr,
        exit_code: code,
      } = await this.#client.call<{
        readonly stdout: Buffer
        readonly stderr: Buffer
        readonly exit_code: number
      }>('ExecSync', { container_id: container.id, cmd: words, timeout: Math.ceil(timeoutMs / 1000) })
      return { code, output: `${stdout}${stderr}` }
    } catch (error) {
      return isTimeout(error)
        ? { code: undefined, output: '' }
        : { code: 126, output: error instanceof Error ? error.message : String(error) }
    }
  }

  /**
   * Not by the interface's Exec, whose streams are SPDY, or WebSockets that cannot end the standard input. containerd's own
   * command hands on all of it.
   */
  exec({ container, words }: Execution, hasTerminal: boolean): ChildProcess {
    const command = [
      ...['ctr', '--address', containerdSocket, '--namespace', containerdNamespace, 'tasks', 'exec'],
      ...['--exec-id', `exec-${randomBytes(8).toString('hex')}`, ...(hasTerminal ? ['--tty'] : [])],
      ...[container.id ?? '', ...words],
    ]
    const [first = '', ...rest] = hasTerminal
      ? underTerminal(['sh', '-c', inTerminal, 'exec', ...command])
      : command
    return spawn(first, rest, { stdio: ['pipe', 'pipe', 'pipe'] })
  }

  readonly decodeLog = decodeLog
}
