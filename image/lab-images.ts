import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { layOutDebian } from './debian.ts'
import { run } from './run.ts'

/** The commands that pods of the walkthrough and of tests use. The lab's nodes have this image under the name of every toolbox image. */
export const toolboxPackages = [
  'base-files',
  'base-passwd',
  'coreutils',
  'curl',
  'dash',
  'findutils',
  'grep',
  'hostname',
  'iproute2',
  'iputils-ping',
  'procps',
  'sed',
] as const

export function layOutToolbox(root: string): void {
  layOutDebian(root, toolboxPackages)
}

/** Holds the namespaces of a pod and reaps orphans until it gets a signal. */
const pause = `#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void end(int signal) { _exit(signal == SIGCHLD); }
static void reap(int signal) { while (waitpid(-1, 0, WNOHANG) > 0) (void)signal; }

int main(void)
{
	signal(SIGTERM, end);
	signal(SIGINT, end);
	signal(SIGCHLD, reap);
	for (;;)
		pause();
}
`

export function layOutPause(root: string): void {
  mkdirSync(root, { recursive: true })
  const source = join(root, 'pause.c')
  writeFileSync(source, pause)
  run('clang-16', ['-Os', '-static', '-s', '-o', join(root, 'pause'), source])
  run('rm', [source])
}
