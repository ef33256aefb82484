import type { Command } from 'commander'
import type { AgentStatus } from '../../agent/api/local-api.ts'
import { askAgent, isInAgentPod } from '../agent-socket.ts'
import type { Progress } from '../install/wait-until-done.ts'
import { outputOption } from '../options.ts'
import { print, printJson } from '../output.ts'
import type { ClusterStatus } from '../status/cluster-status.ts'
import { UserError } from '../user-error.ts'

export function addStatus(program: Command): void {
  program
    .command('status')
    .description(
      'show the state of the install, and what is wrong; in an agent’s pod, show the state of that agent',
    )
    .option('--wait', 'wait until everything is ready; if that takes too long, fail with exit code 1')
    .option('--wait-duration <time>', 'how long to wait, for example 90s or 5m', '5m')
    .addOption(outputOption())
    .action(async (options: { wait?: boolean; waitDuration: string; output?: string }) => {
      const { parseDuration } = await import('../../install/settings/duration.ts')
      const durationMs = parseDuration(options.waitDuration)
      if (durationMs === undefined)
        throw new UserError(
          `--wait-duration: ${options.waitDuration} is not a duration: write, for example, 90s or 5m`,
          2,
        )
      const waitMs = options.wait ? durationMs : 0
      const isReady = await (isInAgentPod()
        ? showAgent(waitMs, options.output)
        : showCluster(waitMs, options.output))
      if (!isReady) process.exitCode = 1
    })
}

async function showAgent(waitMs: number, output: string | undefined): Promise<boolean> {
  const isDone = ({ isReady, problems }: AgentStatus): boolean => isReady && problems.length === 0
  const describe = (status: AgentStatus): StatusProgress => ({
    line: `agent on node ${status.node}: ${status.isReady ? 'ready' : 'not ready yet'}`,
    isDone: isDone(status),
    reasons: status.problems,
  })
  const status = await readUntil(waitMs, () => askAgent<AgentStatus>('/v1/status'), describe)
  if (output === 'json') printJson(status)
  else {
    const { formatAgentStatus } = await import('../status/agent-status.ts')
    print(formatAgentStatus(status, await askAgent('/v1/config')))
  }
  return waitMs === 0 || isDone(status)
}

async function showCluster(waitMs: number, output: string | undefined): Promise<boolean> {
  const { formatClusterStatus, readClusterStatus } = await import('../status/cluster-status.ts')
  const { withCluster } = await import('../cluster.ts')
  const describe = ({ workloads, errors, isReady }: ClusterStatus): StatusProgress => ({
    line:
      workloads.map(({ name, ready, desired }) => `${name}: ${ready} of ${desired} ready`).join(', ') ||
      'not installed yet',
    isDone: isReady,
    reasons: errors,
  })
  const status = await withCluster((client) => readUntil(waitMs, () => readClusterStatus(client), describe))
  if (output === 'json') printJson(status)
  else print(formatClusterStatus(status))
  return status.isReady
}

interface StatusProgress {
  readonly line: string
  readonly isDone: boolean
  readonly reasons: readonly string[]
}

/** The first status that is done, or the last one before the timeout. Progress goes to standard error, so that standard output is the status alone. */
async function readUntil<T>(
  waitMs: number,
  read: () => Promise<T>,
  describe: (status: T) => StatusProgress,
): Promise<T> {
  let status = await read()
  if (waitMs === 0 || describe(status).isDone) return status
  const { waitUntilDone } = await import('../install/wait-until-done.ts')
  const check = async (): Promise<Progress> => {
    status = await read()
    const { line, isDone, reasons } = describe(status)
    return { line, isDone, reasons: async () => reasons }
  }
  const printError = (line: string): void => void process.stderr.write(`${line}\n`)
  await waitUntilDone(check, { print: printError, stallTimeoutMs: waitMs, timeoutMs: waitMs })
  return status
}
