import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { repository } from '../../layout.ts'
import { isWithin } from '../../machines/hidden-folders.ts'
import { endProcess } from '../../machines/machine.ts'
import { findImage, unknownImage } from '../../programs/images.ts'
import { confine, securityOf } from '../containers/confinement.ts'
import { ImageProblem } from '../containers/container-problem.ts'
import type { CommandResult } from '../containers/probes.ts'
import type { RunningContainer, RunningPod } from '../containers/running-pods.ts'
import type { Container, Pod } from '../pod-spec.ts'
import { callNetwork, findNetwork } from '../sandbox/cni.ts'
import { launch, makeNetns, removeNetns } from '../sandbox/sandbox.ts'
import type { Bind } from '../volumes/binds.ts'
import { requireOwn } from '../volumes/host-path.ts'
import type { ContainerRuntime, ContainerStart, Execution, Sandbox } from './runtime.ts'
import { underTerminal, unknownExitCode } from './runtime.ts'

const pathOf = (netnsId: string): string => `/run/netns/${netnsId}`

/** What every process of this machine needs, and containers are such. */
function machineEnvironment(): Readonly<Record<string, string>> {
  return {
    PATH: `${process.env.LAB_NODE_BIN}:${process.env.LAB_BIN}:${repository}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: '/root',
  }
}

/** Containers as processes of this machine, in namespaces: quick to start, with this machine's files for an image. */
export class ProcessRuntime implements ContainerRuntime {
  readonly version = 'sallyport-lab://1'
  readonly scheme = 'sallyport'
  /** By process: those that this kubelet has started tell their exit code. */
  readonly #exits = new Map<number, Promise<number>>()

  async requireImage({ image }: Container): Promise<void> {
    if (findImage(image) === undefined) throw new ImageProblem(unknownImage(image))
  }

  async startSandbox(pod: Pod): Promise<Sandbox> {
    if (pod.spec.hostNetwork) return { podIPs: [] }
    const network = findNetwork()
    if (network === undefined) throw new Error('there is no CNI configuration in /etc/cni/net.d')
    const id = `pod-${randomBytes(8).toString('hex')}`
    const netns = makeNetns(id)
    try {
      const { ips = [] } = await callNetwork('ADD', network, pod, id, netns)
      return { id, podIPs: ips.map(({ address }) => address.split('/')[0] ?? '') }
    } catch (error) {
      await callNetwork('DEL', network, pod, id, netns).catch(() => {})
      removeNetns(id)
      const why = error instanceof Error ? error.message : String(error)
      throw new Error(`failed to setup network for sandbox "${id}": ${why}`, { cause: error })
    }
  }

  async stopSandbox({ sandboxId, uid, name, namespace }: RunningPod): Promise<void> {
    if (sandboxId === undefined) return
    const network = findNetwork()
    const stub = { metadata: { name, namespace, uid }, spec: { containers: [] } }
    if (network !== undefined) await callNetwork('DEL', network, stub, sandboxId, pathOf(sandboxId))
    removeNetns(sandboxId)
  }

  async startContainer(start: ContainerStart): Promise<RunningContainer> {
    const { pod, running, container, command, args, restarts, env, binds, logFile } = start
    for (const bind of binds) requirePlace(bind)
    const exit = Promise.withResolvers<number>()
    const process_ = launch({
      pod,
      command: [
        ...(command ?? (args === undefined ? (findImage(container.image)?.command ?? []) : [])),
        ...(args ?? []),
      ],
      security: securityOf(pod, container),
      env: { ...machineEnvironment(), ...env },
      binds,
      netns: running.sandboxId === undefined ? undefined : pathOf(running.sandboxId),
      logFile,
      onExit: exit.resolve,
    })
    this.#exits.set(process_.pid, exit.promise)
    return { process: process_, startedAt: new Date().toISOString(), restarts }
  }

  /** What an earlier kubelet started is not this one's child: that it has ended is seen by its absence. */
  watchContainer({ process: { pid } }: RunningContainer, onExit: (code: number) => void): void {
    void this.#exits.get(pid)?.then(onExit)
  }

  async exitCode({ process: { pid } }: RunningContainer): Promise<number> {
    return (await this.#exits.get(pid)) ?? unknownExitCode
  }

  stopContainer({ process: process_ }: RunningContainer, graceSeconds: number): Promise<void> {
    return endProcess(process_, graceSeconds * 1000)
  }

  execSync(execution: Execution, timeoutMs: number): Promise<CommandResult> {
    const { promise, resolve } = Promise.withResolvers<CommandResult>()
    const child = enter(execution, execution.words, { stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs })
    let output = ''
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => (output = `${output}${chunk}`.slice(0, 10_000)))
    child.on('error', (error) => resolve({ code: 126, output: error.message }))
    child.on('close', (code, signal) =>
      resolve({ code: signal === 'SIGTERM' ? undefined : (code ?? unknownExitCode), output }),
    )
    return promise
  }

  exec(execution: Execution, hasTerminal: boolean): ChildProcess {
    const inside = hasTerminal ? underTerminal(execution.words) : execution.words
    return enter(execution, inside, { stdio: ['pipe', 'pipe', 'pipe'] })
  }

  decodeLog = (raw: Buffer): { text: Buffer; consumed: number } => ({ text: raw, consumed: raw.length })
}

/** Its root is this machine's: what would be made there would stay. Of devices it has a view of its own. */
function requirePlace({ source, target, propagation }: Bind): void {
  if (!isWithin(target, '/dev')) requireOwn(target)
  if (propagation === 'Bidirectional' && source !== target)
    throw new Error(`${target}: processes have Bidirectional mounts only where a folder keeps its path`)
}

/** By the container's first process: its mounts, network and hostname; and with its rights. */
function enter(
  { pod, spec, container, env }: Execution,
  words: readonly string[],
  options: { readonly stdio: readonly ['ignore' | 'pipe', 'pipe', 'pipe']; readonly timeout?: number },
): ChildProcess {
  const confined = confine(securityOf(pod, spec), words)
  return spawn(
    'nsenter',
    [`--target=${container.process.pid}`, '--net', '--mount', '--uts', '--', ...confined],
    {
      ...options,
      stdio: [...options.stdio],
      env: { ...machineEnvironment(), ...env, TERM: 'xterm', SHELL: '/bin/sh' },
    },
  )
}
