import type { ChildProcess } from 'node:child_process'
import type { CommandResult } from '../containers/probes.ts'
import type { RunningContainer, RunningPod } from '../containers/running-pods.ts'
import type { Container, Pod } from '../pod-spec.ts'
import type { Bind } from '../volumes/binds.ts'

/** What holds a pod's namespaces while its containers come and go. */
export interface Sandbox {
  /** Undefined where there is nothing to take away: a pod in the node's own network that needs no more than processes. */
  readonly id?: string
  readonly podIPs: readonly string[]
}

export interface ContainerStart {
  readonly pod: Pod
  readonly running: RunningPod
  readonly container: Container
  /** From the pod, with the values of variables. Undefined: use those of the image. */
  readonly command: readonly string[] | undefined
  readonly args: readonly string[] | undefined
  /** How often it was started before. */
  readonly restarts: number
  /** The environment of the pod's spec. The runtime adds that of the image or the machine. */
  readonly env: Readonly<Record<string, string>>
  readonly binds: readonly Bind[]
  readonly logFile: string
}

/** A command in a running container. */
export interface Execution {
  readonly pod: Pod
  readonly spec: Container
  readonly container: RunningContainer
  readonly env: Readonly<Record<string, string>>
  readonly words: readonly string[]
}

/**
 * What the kubelet's life cycle of pods asks of whatever runs them. It alone decides what is to run; a runtime keeps nothing that
 * the kubelet needs to know, but what it is asked for.
 */
export interface ContainerRuntime {
  /** As nodes say it: name and version. */
  readonly version: string
  /** Before the name of a container, in a pod's status. */
  readonly scheme: string
  /** Throws an ImageProblem where the container's image is not here. */
  requireImage(container: Container): Promise<void>
  /** The pod's namespaces with its network in them: when it returns, the first packet may leave. Leaves nothing on failure. */
  startSandbox(pod: Pod): Promise<Sandbox>
  /** With all that is in it. Called again after a failure. */
  stopSandbox(running: RunningPod): Promise<void>
  startContainer(start: ContainerStart): Promise<RunningContainer>
  /** Tells when a container has ended, and how; for those that an earlier kubelet started, too. */
  watchContainer(container: RunningContainer, onExit: (code: number) => void): void
  /** The exit code of a container whose process has ended. */
  exitCode(container: RunningContainer): Promise<number>
  /** Asks it to end, and forces it to after a while. */
  stopContainer(container: RunningContainer, graceSeconds: number): Promise<void>
  /** Runs a command to its end, for no longer than that. */
  execSync(execution: Execution, timeoutMs: number): Promise<CommandResult>
  /** A process with the standard streams and the exit code of the command. With a terminal, it runs under `script`. */
  exec(execution: Execution, hasTerminal: boolean): ChildProcess
  /** What was printed, of what a log file holds. Lines that are not finished may be held back. */
  readonly decodeLog: (raw: Buffer) => { readonly text: Buffer; readonly consumed: number }
}

/** Of a container that somebody else started, and nobody saw end. */
export const unknownExitCode = 137

/** These words as a command line for a shell. */
function quote(words: readonly string[]): string {
  return words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ')
}

/** A command under a terminal of its own. */
export function underTerminal(words: readonly string[]): readonly string[] {
  return ['script', '--quiet', '--return', '--flush', '--command', quote(words), '/dev/null']
}
