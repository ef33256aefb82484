import { spawn } from 'node:child_process'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs, styleText } from 'node:util'
import { startLab, stopLab } from '../../src/lab/lab.ts'
import { apiServerUrl, loadLab, requireLab } from '../../src/lab/lab-state.ts'
import { labPaths, repository } from '../../src/lab/layout.ts'
import { enterCommand } from '../../src/lab/machines/machine.ts'
import { missingForLab } from '../../src/lab/requirements.ts'
import { exec } from '../../src/lab/shell.ts'
import { crowdOf } from './crowd.ts'

/**
 * Runs one real node, one real operator and the embedded API server in a cluster of many nodes. The other nodes are only
 * objects in the API. It measures the load of each process, and how long a change takes to reach the kernel.
 */
const { values: options } = parseArgs({
  options: {
    sizes: { type: 'string', default: '10,100,1000' },
    rounds: { type: 'string', default: '100' },
    'rest-seconds': { type: 'string', default: '60' },
    out: { type: 'string', default: join(repository, 'bench/scale.json') },
    keep: { type: 'boolean', default: false },
  },
})

export interface ScaleFigure {
  readonly name: string
  readonly unit: string
  readonly nodes: number
  readonly value: number
}

const name = 'scale'
const print = (text = ''): void => void process.stdout.write(`${text}\n`)

async function type(command: string): Promise<string> {
  const { code, output } = await exec(requireLab(name), ['bash', '-c', command])
  if (code !== 0) throw new Error(`${command}: ${output}`)
  return output.trim()
}

/** The pid of a process in a node, found by a part of its command line. */
function pidOf(cgroup: string, command: string): string {
  const known = new Set(readdirSync('/proc'))
  const found = readFileSync(join(cgroup, 'cgroup.procs'), 'utf8')
    .trim()
    .split('\n')
    .find((pid) => known.has(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(command))
  if (found === undefined) throw new Error(`no process of ${command} runs`)
  return found
}

async function measure(nodes: number): Promise<readonly ScaleFigure[]> {
  if (loadLab(name) !== undefined) await stopLab(name)
  await startLab({
    name,
    nodes: [
      { name: 'control', lastOctet: 2, podCIDRs: ['10.244.2.0/24'], isControlPlane: true },
      { name: 'worker', lastOctet: 3, podCIDRs: ['10.244.3.0/24'], isControlPlane: false },
    ],
  })
  try {
    await type('cilium install --set operator.replicas=1 --set slots=2048 && cilium status --wait')
    await type('kubectl label node control worker crowd-gw=0')
    await type('kubectl run pod --labels app=app-0 --image docker.io/tgraf/netperf')
    await type('kubectl wait --for=condition=Ready pod/pod --timeout=30s')
    const podIp = await type('kubectl get pod pod -o jsonpath={.status.podIP}')
    const state = requireLab(name)
    const [control, worker] = state.nodes
    if (control === undefined || worker === undefined) throw new Error('the lab has no nodes')
    const operatorNode = [control, worker].find(({ machine }) => {
      try {
        return pidOf(machine.cgroup, 'src/operator/main.ts') !== ''
      } catch {
        return false
      }
    })
    if (operatorNode === undefined) throw new Error('no operator runs')
    const words = [
      process.execPath, '--disable-warning=ExperimentalWarning', join(repository, 'bench/scale/inside.ts'),
      '--server', apiServerUrl(state), '--ca', join(labPaths(name).apiServer, 'ca.crt'),
      '--token', state.tokens.admin ?? '', '--nodes', String(nodes),
      '--agent-pid', pidOf(worker.machine.cgroup, 'src/agent/main.ts'),
      '--operator-pid', pidOf(operatorNode.machine.cgroup, 'src/operator/main.ts'),
      '--pod', 'pod', '--pod-ip', podIp, '--gateway-ip', '172.18.0.3', '--rounds', options.rounds, '--rest-seconds', options['rest-seconds'],
    ] // biome-ignore format: one command
    return JSON.parse(
      await runInside(enterCommand(control.machine.init.pid, ['net'], words)),
    ) as ScaleFigure[]
  } finally {
    if (!options.keep) await stopLab(name)
  }
}

function runInside([command = '', ...rest]: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    child.stdout.on('data', (chunk) => (output += chunk))
    child.on('close', (code) => (code === 0 ? resolve(output) : reject(new Error(`it ended with ${code}`))))
  })
}

function printTable(figures: readonly ScaleFigure[]): void {
  const sizes = [...new Set(figures.map(({ nodes }) => nodes))]
  print(`${'nodes'.padEnd(52)}${sizes.map((size) => String(size).padStart(10)).join('')}`)
  for (const label of new Set(figures.map(({ name: each, unit }) => `${each}, ${unit}`)))
    print(
      `${label.padEnd(52)}${sizes
        .map((size) => {
          const found = figures.find((each) => each.nodes === size && `${each.name}, ${each.unit}` === label)
          return String(found?.value ?? '').padStart(10)
        })
        .join('')}`,
    )
}

try {
  const missing = missingForLab()
  if (missing.length > 0) throw new Error(missing.join('; '))
  const figures: ScaleFigure[] = []
  for (const nodes of options.sizes.split(',').map(Number)) {
    const { pods, policies, gateways } = crowdOf(nodes)
    print(styleText('bold', `${nodes} nodes, ${pods} pods, ${policies} policies, ${gateways} gateways`))
    figures.push(...(await measure(nodes)))
  }
  printTable(figures)
  writeFileSync(options.out, `${JSON.stringify(figures, null, 2)}\n`)
  print(
    `\nWritten: ${options.out}. Made by: node bench/scale/main.ts --sizes ${options.sizes} --rounds ${options.rounds}`,
  )
} catch (error) {
  print(error instanceof Error ? error.message : String(error))
  process.exitCode = 1
}
