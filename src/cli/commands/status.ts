import type { Command } from 'commander'
import type { AgentStatus } from '../../agent/api/local-api.ts'
import { askAgent, isInAgentPod } from '../agent-socket.ts'
import type { Look } from '../install/waiting.ts'
import { outputOption } from '../options.ts'
import { print, printJson } from '../output.ts'
import type { ClusterStatus } from '../status/cluster-status.ts'
import { Complaint } from '../user-error.ts'

export function addStatus(program: Command): void {
  program
    .command('status')
    .description('show the state of the install, and what is wrong; in an agent’s pod, of that agent')
    .option('--wait', 'wait until everything is ready; exit code 1 if it is not in time')
    .option('--wait-duration <time>', 'how long to wait, as in 90s or 5m', '5m')
    .addOption(outputOption())
    .action(async (options: { wait?: boolean; waitDuration: string; output?: string }) => {
      const { parseDuration } = await import('../../install/settings/duration.ts')
      const durationMs = parseDuration(options.waitDuration)
      if (durationMs === undefined)
        throw new Complaint(`${options.waitDuration} is no duration: write 90s or 5m`, 2)
      const waitMs = options.wait ? durationMs : 0
      const isWell = await (isInAgentPod()
        ? showAgent(waitMs, options.output)
        : showCluster(waitMs, options.output))
      if (!isWell) process.exitCode = 1
    })
}

async function showAgent(waitMs: number, output: string | undefined): Promise<boolean> {
  const isWell = ({ isReady, problems }: AgentStatus): boolean => isReady && problems.length === 0
  const describe = (status: AgentStatus): Progress => ({
    line: `agent of ${status.node}: ${status.isReady ? 'ready' : 'not ready yet'}`,
    isDone: isWell(status),
    reasons: status.problems,
  })
  const status = await readUntil(waitMs, () => askAgent<AgentStatus>('/v1/status'), describe)
  if (output === 'json') printJson(status)
  else {
    const { formatAgentStatus } = await import('../status/agent-status.ts')
    print(formatAgentStatus(status, await askAgent('/v1/config')))
  }
  return waitMs === 0 || isWell(status)
}

async function showCluster(waitMs: number, output: string | undefined): Promise<boolean> {
  const { formatClusterStatus, readClusterStatus } = await import('../status/cluster-status.ts')
  const { withCluster } = await import('../cluster.ts')
  const describe = ({ workloads, errors, isWell }: ClusterStatus): Progress => ({
    line:
      workloads.map(({ name, ready, desired }) => `${name}: ${ready} of ${desired} ready`).join(', ') ||
      'not installed yet',
    isDone: isWell,
    reasons: errors,
  })
  const status = await withCluster((client) => readUntil(waitMs, () => readClusterStatus(client), describe))
  if (output === 'json') printJson(status)
  else print(formatClusterStatus(status))
  return status.isWell
}

interface Progress {
  readonly line: string
  readonly isDone: boolean
  readonly reasons: readonly string[]
}

/** The first that is done, or the last that was read in time. Progress goes to standard error: standard output is the status alone. */
async function readUntil<T>(
  waitMs: number,
  read: () => Promise<T>,
  describe: (status: T) => Progress,
): Promise<T> {
  let status = await read()
  if (waitMs === 0 || describe(status).isDone) return status
  const { waitUntilDone } = await import('../install/waiting.ts')
  const look = async (): Promise<Look> => {
    status = await read()
    const { line, isDone, reasons } = describe(status)
    return { line, isDone, why: async () => reasons }
  }
  const tell = (line: string): void => void process.stderr.write(`${line}\n`)
  await waitUntilDone(look, { print: tell, stuckAfterMs: waitMs, limitMs: waitMs })
  return status
}
