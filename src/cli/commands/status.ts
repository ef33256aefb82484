import type { Command } from 'commander'
import type { AgentStatus } from '../../agent/local-api.ts'
import { askAgent, isInAgentPod } from '../agent-socket.ts'
import { Complaint } from '../complaint.ts'
import { outputOption } from '../options.ts'
import { print, printJson } from '../output.ts'

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

export function addStatus(program: Command): void {
  program
    .command('status')
    .description('how the cluster’s install is; in an agent’s pod, how that agent is')
    .option('--wait', 'until all is well; exit code 1 if it is not in time')
    .option('--wait-duration <time>', 'how long to wait, as in 90s or 5m', '5m')
    .addOption(outputOption())
    .action(async (options: { wait?: boolean; waitDuration: string; output?: string }) => {
      const { parseDuration } = await import('../../api/configuration.ts')
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
  const status = await readUntil(isWell, waitMs, () => askAgent<AgentStatus>('/v1/status'))
  if (output === 'json') printJson(status)
  else {
    const { formatAgentStatus } = await import('../agent-status.ts')
    print(formatAgentStatus(status, await askAgent('/v1/config')))
  }
  return waitMs === 0 || isWell(status)
}

async function showCluster(waitMs: number, output: string | undefined): Promise<boolean> {
  const { formatClusterStatus, readClusterStatus } = await import('../cluster-status.ts')
  const { withCluster } = await import('../cluster.ts')
  const status = await withCluster((client) =>
    readUntil(
      ({ isWell }) => isWell,
      waitMs,
      () => readClusterStatus(client),
    ),
  )
  if (output === 'json') printJson(status)
  else print(formatClusterStatus(status))
  return status.isWell
}

/** The first that is well, or the last that was read in time. */
async function readUntil<T>(
  isWell: (status: T) => boolean,
  waitMs: number,
  read: () => Promise<T>,
): Promise<T> {
  for (const until = Date.now() + waitMs; ; await sleep(500)) {
    const status = await read()
    if (isWell(status) || Date.now() >= until) return status
  }
}
