import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readlinkSync } from 'node:fs'

/** A host with one device, in a network namespace of its own. It ends with the test's process, or by `close`. */
export interface FarHost extends Disposable {
  readonly netns: string
  /** Runs a program there and answers with what it wrote, its failure included. */
  run(command: string, ...args: readonly string[]): string
  start(command: string, ...args: readonly string[]): ChildProcess
}

/** Takes the device out of this namespace. `setUp` are commands of `ip -batch`. */
export async function openFarHost(device: string, setUp: readonly string[]): Promise<FarHost> {
  const holder = spawn('unshare', ['-n', 'sh', '-c', 'echo ready; read line'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  await once(holder.stdout, 'data')
  const pid = `${holder.pid}`
  const netns = `/proc/${pid}/ns/net`
  if (readlinkSync(netns) === readlinkSync('/proc/self/ns/net'))
    throw new Error('the host has no namespace of its own')
  execFileSync('ip', ['link', 'set', device, 'netns', pid])
  const inside = (command: string, args: readonly string[]): [string, string[]] => [
    'nsenter',
    ['-t', pid, '-n', command, ...args],
  ]
  execFileSync(...inside('ip', ['-batch', '-']), { input: ['link set lo up', ...setUp, ''].join('\n') })
  return {
    netns,
    run: (command, ...args) => execFileSync(...inside(command, args), { encoding: 'utf8' }),
    start: (command, ...args) => spawn(...inside(command, args), { stdio: ['ignore', 'pipe', 'inherit'] }),
    [Symbol.dispose]: () => void holder.stdin.end(),
  }
}
