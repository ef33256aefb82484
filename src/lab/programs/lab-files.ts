import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { nodeBinary } from '../environment.ts'
import type { LabState } from '../lab-state.ts'
import { labPaths, repository } from '../layout.ts'
import { hasYamlYq } from '../requirements.ts'
import { clientToolsFolder } from './client-tools.ts'
import { policyFiles } from './policy-files.ts'

/** Writes a lab's files: tokens, the commands on the PATH of its shell and its nodes, and the walkthrough's two policies. */
export function writeLabFiles(state: LabState): void {
  const paths = labPaths(state.name)
  const { logs, apiServer, credentials, bin, nodeBin, home } = paths
  for (const directory of [logs, apiServer, credentials, bin, nodeBin, home])
    mkdirSync(directory, { recursive: true })
  writeTokens(state)
  writeCommands(bin)
  writeCommand(nodeBin, 'ip', standInForDummy)
  for (const [file, content] of Object.entries(policyFiles)) writeFileSync(join(home, file), content)
  writeFileSync(join(home, '.bashrc'), `PS1='\\u@\\h:~# '\ncd ~\n`)
}

function writeTokens({ name, tokens }: LabState): void {
  const paths = labPaths(name)
  const users = [
    `${tokens.admin},admin,1,"system:masters"`,
    `${tokens.controllers},system:kube-controller-manager,2`,
    ...Object.keys(tokens)
      .filter((key) => !['admin', 'controllers', 'kubelet'].includes(key))
      .map((node) => `${tokens[node]},system:node:${node},${node},"system:nodes"`),
  ]
  writeFileSync(paths.tokens, `${users.join('\n')}\n`, { mode: 0o600 })
  writeFileSync(paths.kubeletToken, tokens.kubelet ?? '', { mode: 0o600 })
}

function writeCommands(bin: string): void {
  const node = `exec ${nodeBinary} --disable-warning=ExperimentalWarning`
  const cli = `${node} ${repository}/src/cli/main.ts "$@"`
  writeCommand(bin, 'sallyport', cli)
  writeCommand(bin, 'cilium', cli)
  writeCommand(bin, 'docker', `${node} ${repository}/src/lab/docker/main.ts "$@"`)
  for (const tool of ['kubectl', 'helm']) {
    const unpacked = join(clientToolsFolder('newest'), tool)
    if (existsSync(unpacked)) writeCommand(bin, tool, `exec ${unpacked} "$@"`)
  }
  if (!hasYamlYq()) writeCommand(bin, 'yq', `${node} ${repository}/src/lab/programs/yq.ts "$@"`)
}

function writeCommand(directory: string, command: string, body: string): void {
  const file = join(directory, command)
  writeFileSync(file, `#!/bin/sh\n${body}\n`)
  chmodSync(file, 0o755)
}

/** On kernels without dummy devices, `ip` creates an ifb device instead, which also has addresses and carries no traffic. */
const standInForDummy = `real=/usr/sbin/ip
[ -x "$real" ] || real=/sbin/ip
case " $* " in
*" type dummy "*)
  "$real" "$@" 2>/dev/null && exit 0
  set -- $(printf '%s\\n' "$@" | sed 's/^dummy$/ifb/')
  ;;
esac
exec "$real" "$@"`
