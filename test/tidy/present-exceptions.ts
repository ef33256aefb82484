/**
 * What breaks a rule today, and why it does. A list only gets shorter: an entry that breaks nothing any more fails, too.
 * Began on 30 November 2026.
 */
type Excused = Readonly<Record<string, string>>

export const imports: Excused = {
  'src/cli/program.ts imports src/lab/command.ts':
    'a checkout has the command "lab"; it is loaded only there',
  'src/lab/command.ts imports src/cli/options.ts': 'the command "lab" takes --output as all commands do',
}

export const importsOfBench: Excused = {
  'test/pictures.test.ts imports bench/draw.ts':
    'it compares the pictures with the numbers that the benchmark wrote',
}

const table = 'cases in one table, read by name and not from the top'
const undivided = 'to be divided'

export const longFiles: Excused = {
  'src/api/crd.test.ts': table,
  'src/cli/cluster-commands.test.ts': table,
  'src/datapath/datapath.test.ts': undivided,
  'src/decide/ports/port-owners.test.ts': table,
  'src/decide/resolve.test.ts': table,
  'src/decide/status/status.test.ts': table,
  'src/kube/hardship.test.ts': table,
  'src/lab/apiserver/kubectl.test.ts': table,
  'test/conformance/requests.test.ts': table,
  'test/packets/from-pod-cases.ts': table,
  'test/packets/from-world-cases.ts': table,
}

export const longFunctions: Excused = {}

export const crowdedFolders: Excused = {
  'src/linux': 'netlink, devices, routes, neighbours: flat until one of them has a second file',
}

const person = 'a command works once, for a person who waits for it'
const start = 'a process reads its environment where it begins'

export const ambient: Readonly<Record<'clock' | 'random' | 'timer' | 'environment', Excused>> = {
  clock: {
    'src/ui/page/main.ts': 'a browser runs it, and shows a person how old the data is',
    'src/cli/commands/drops.ts': person,
    'src/cli/install/wait-until-done.ts': person,
    'src/cli/kubeconfig/renewed-credential.ts': 'the default of an argument',
    'src/cli/preflight/facts.ts': person,
    'src/runtime/clock.ts': 'the clock itself',
    'src/runtime/heartbeat.ts': 'the age of a file is the wall clock’s',
  },
  random: {
    'src/lab/controllers/workload.ts': 'names of pods in the lab',
    'src/lab/kubelet/kubelet.ts': 'the lab is not simulated',
    'src/runtime/random.ts': 'chance itself',
  },
  timer: {
    'src/ui/page/main.ts': 'a browser runs it, and shows a person how old the data is',
    'src/agent/failover/pulse/worker.ts': 'a thread of its own, whose rules get the time as an argument',
    'src/cli/install/wait-until-done.ts': person,
    'src/cli/trouble/cluster-trouble.ts': person,
    'src/datapath/maps/turn.ts': 'it gives the process a turn between batches of a long table',
    'src/runtime/clock.ts': 'the clock itself',
    'src/runtime/heartbeat.ts': 'a heartbeat is of the process, not of its world',
  },
  environment: {
    'src/agent/main.ts': start,
    'src/agent/plugin/cni-install.ts': 'whether it runs in an image',
    'src/cli/agent-socket.ts': person,
    'src/cli/cluster.ts': person,
    'src/cli/command-name.ts': person,
    'src/cli/install/install.ts': person,
    'src/cli/kubeconfig/credential-plugin.ts': 'a plugin inherits it',
    'src/cli/kubeconfig/kubeconfig-files.ts': person,
    'src/cli/main.ts': start,
    'src/cni/main.ts': 'the runtime passes a plugin its arguments so',
    'src/kube/access.ts': 'the default of an argument: the kubelet tells a pod so where the API server is',
    'src/operator/main.ts': start,
    'src/runtime/stages.ts': 'whether it runs in an image',
  },
}

/** Folders of which unused exports are not counted yet. */
export const foldersWithUnusedExports: Excused = {}

export const unreadSettings: Excused = {}
