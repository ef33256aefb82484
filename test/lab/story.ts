import type { LabState } from '../../src/lab/lab-state.ts'
import { type NodePlan, walkthroughNodes } from '../../src/lab/layout.ts'
import { exec } from '../../src/lab/shell.ts'

/**
 * How far the story of the walkthrough has gone when a test begins. Its commands are given here without their answers, and
 * together: what each of them says is what walkthrough.test.ts is about.
 */
export type Chapter = 'the cluster' | 'the install' | 'the outpost' | 'the policy'
const chapters: readonly Chapter[] = ['the cluster', 'the install', 'the outpost', 'the policy']

/** Some of the walkthrough's nodes: each costs its start, and a step of every rollout. */
export function someNodes(...names: readonly string[]): readonly NodePlan[] {
  return walkthroughNodes.filter(({ name }) => ['kind-control-plane', ...names].includes(name))
}

const egressIps: Readonly<Record<string, string>> = {
  'kind-worker3': '172.18.0.42',
  'kind-worker4': '172.18.0.43',
}

export interface Story {
  readonly until: Chapter
  /** Settings of the install, besides the walkthrough's. */
  readonly settings?: readonly string[]
}

export async function tellStory(state: LabState, { until, settings = [] }: Story): Promise<void> {
  const gateways = state.nodes.map(({ name }) => name).filter((name) => name in egressIps)
  /* As the walkthrough's scheduler puts them. */
  const elsewhere = state.nodes.some(({ name }) => name === 'kind-worker2') ? 'kind-worker2' : 'kind-worker'
  const commands: Record<Chapter, readonly string[]> = {
    'the cluster': [
      `kubectl taint node ${gateways.join(' ')} egress-gw:NoSchedule`,
      `kubectl label node ${gateways.join(' ')} egress-gw=true`,
      ...gateways.map((node) => `docker exec ${node} sh -c 'ip link add net0 type dummy && ip address add ${egressIps[node]}/16 dev net0'`),
    ], // biome-ignore format: a command a line
    'the install': [
      `cilium install ${['devices={eth+,net+}', ...settings].map((setting) => `--set '${setting}'`).join(' ')}`,
      'cilium status --wait',
    ],
    'the outpost': [
      'docker run -d --name remote-outpost --network kind -e ALLOWED_IP=172.18.0.42,172.18.0.43 quay.io/isovalent-dev/egressgw-whatismyip',
      run('tiefighter', 'empire', elsewhere),
      run('xwing', 'alliance', 'kind-worker'),
      'kubectl wait --for=condition=Ready pod/tiefighter pod/xwing --timeout=60s',
    ],
    'the policy': [
      run('ywing', 'alliance', elsewhere),
      'kubectl apply -f egress-gw-policy.yaml',
      'kubectl wait --for=condition=Ready cegp/outpost pod/ywing --timeout=60s',
    ],
  }
  const told = chapters.slice(0, chapters.indexOf(until) + 1).flatMap((chapter) => commands[chapter])
  const { code, output } = await exec(state, ['bash', '-ec', told.join('\n')])
  if (code !== 0) throw new Error(`the story cannot be told until ${until}: ${output}`)
}

const run = (name: string, org: string, node: string): string =>
  `kubectl run ${name} --labels org=${org},class=${name} --image docker.io/tgraf/netperf --overrides '{"spec":{"nodeName":"${node}"}}'`
