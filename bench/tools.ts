import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { repository } from '../src/lab/layout.ts'
import { run } from '../src/lab/machines/machine.ts'
import { compileHold } from '../test/support/hold-program.ts'

export const loadBinary = join(repository, 'build/load')
export const againObject = join(repository, 'build/again.bpf.o')

/** Compiles the load generators and the programs for test runs. */
export function compileTools(): void {
  mkdirSync(join(repository, 'build'), { recursive: true })
  run('gcc', ['-O2', '-Wall', '-Wextra', '-o', loadBinary, join(repository, 'bench/load.c')])
  compileHold()
  compileAgain(repository)
}

/** The program for test runs, of this version or of an earlier one. */
export function compileAgain(folder: string): void {
  const machine = process.arch === 'arm64' ? 'aarch64' : 'x86_64'
  run('clang-16', [
    ...['-O2', '-g', '-target', 'bpf', '-mcpu=v3', `-I/usr/include/${machine}-linux-gnu`],
    ...['-c', join(folder, 'bench/again.bpf.c'), '-o', join(folder, 'build/again.bpf.o')],
  ])
}

/** The CPU time of all CPUs since the machine started. */
export function cpuSeconds(): { readonly busy: number; readonly idle: number } {
  const [, user = 0, nice = 0, system = 0, idle = 0, waiting = 0, irq = 0, softirq = 0] = (
    readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? ''
  )
    .split(/\s+/)
    .map(Number)
  return { busy: (user + nice + system + irq + softirq) / 100, idle: (idle + waiting) / 100 }
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  return sorted.length % 2 === 1
    ? (sorted[middle] ?? 0)
    : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

/**
 * Above 1, ours is better. Computes the ratio of each round, and then the median, because the machine's speed changes from minute to minute.
 * Null if there is nothing to compare with.
 */
export function ratioOf(
  better: 'more' | 'less',
  ours: readonly number[],
  theirs: readonly number[],
): number | null {
  const ratios = ours.flatMap((value, round) => {
    const other = theirs[round]
    return other === undefined ? [] : [better === 'more' ? value / other : other / value]
  })
  const ratio = median(ratios)
  return ratios.length > 0 && Number.isFinite(ratio) ? ratio : null
}
