import type { Command } from 'commander'
import type { AgentStatus } from '../../agent/local-api.ts'
import { askAgent, isInAgentPod } from '../agent-socket.ts'
import { Complaint } from '../complaint.ts'
import { print, printJson } from '../output.ts'

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

export function addStatus(program: Command): void {
  program
    .command('status')
    .description('how the cluster’s install is; in an agent’s pod, how that agent is')
    .option('--wait', 'until all is well; exit code 1 if it is not in time')
    .option('--wait-duration <time>', 'how long to wait, as in 90s or 5m', '5m')
    .option('-o, --output <format>', 'json for machines')
    .action(async (options: { wait?: boolean; waitDuration: string; output?: string }) => {
      if (isInAgentPod()) return printAgentStatus(options.output)
      const { parseDuration } = await import('../../api/configuration.ts')
      const waitMs = parseDuration(options.waitDuration)
      if (waitMs === undefined)
        throw new Complaint(`${options.waitDuration} is no duration: write 90s or 5m`, 2)
      await waitUntilWell(options.wait ? waitMs : 0, options.output)
    })
}

async function printAgentStatus(output: string | undefined): Promise<void> {
  const status = await askAgent<AgentStatus>('/v1/status')
  if (output === 'json') return printJson(status)
  const { formatAgentStatus } = await import('../agent-status.ts')
  print(formatAgentStatus(status, await askAgent('/v1/config')))
}

async function waitUntilWell(waitMs: number, output: string | undefined): Promise<void> {
  const { formatClusterStatus, readClusterStatus } = await import('../cluster-status.ts')
  const { withCluster } = await import('../cluster.ts')
  const until = Date.now() + waitMs
  const status = await withCluster(async (client) => {
    for (;;) {
      const status = await readClusterStatus(client)
      if (status.isWell || Date.now() >= until) return status
      await sleep(500)
    }
  })
  if (output === 'json') printJson(status)
  else print(formatClusterStatus(status))
  if (!status.isWell) process.exitCode = 1
}
