import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { layOutDebian } from './debian.ts'
import { run } from './run.ts'

/** What the pods of the walkthrough and of tests type: the lab's nodes know this image by every name that stands for a toolbox. */
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

/** Holds a pod's namespaces and reaps orphans, and ends when it is told to. */
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
