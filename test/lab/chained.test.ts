import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { missingForPlugin, otherPlugins } from '../../src/lab/machines/other-network.ts'
import { allowOnly, outsideService, pod, policyOf, server } from './chained-objects.ts'
import {
  cannotRun,
  eventually,
  hangTimeoutMs,
  labFor,
  processesOf,
  seenByOutpost,
  type,
} from './lab-under-test.ts'
import { someNodes } from './story.ts'

const outpost = 'http://172.18.0.7:8000'
const egressIp = '172.18.0.42'

/** One node for each of the other plugins. What is true on one of them is tried on all, at the same time. */
const sources = [
  { plugin: 'ptp', node: 'kind-worker', nodeAddress: '172.18.0.2' },
  { plugin: 'bridge', node: 'kind-worker2', nodeAddress: '172.18.0.5' },
] as const
const addressesOfSources: readonly string[] = sources.map(({ nodeAddress }) => nodeAddress)

const preparation = `
kubectl taint node kind-worker3 egress-gw:NoSchedule
kubectl label node kind-worker3 egress-gw=true
docker exec kind-worker3 ip link add net0 type dummy
docker exec kind-worker3 ip address add ${egressIp}/16 dev net0
docker run -d --name remote-outpost --network kind -e ALLOWED_IP=${egressIp} quay.io/isovalent-dev/egressgw-whatismyip:latest`

const agentPodOn = (node: string): string =>
  `$(kubectl -n kube-system get pod --field-selector spec.nodeName=${node} -o name | grep -v operator)`

const networkOf = (node: string) => `docker exec ${node} cat /etc/cni/net.d/0-sallyport.conflist`

const plugins = ({ plugins }: { readonly plugins: readonly { readonly type: string }[] }): string[] =>
  plugins.map(({ type: each }) => each)

const skip = cannotRun || otherPlugins.flatMap(missingForPlugin).join('; ') || false

describe('chained to other plugins', { skip, timeout: hangTimeoutMs }, () => {
  const lab = labFor('test-chained', {
    nodes: someNodes('kind-worker', 'kind-worker2', 'kind-worker3'),
    cni: (name) => sources.find(({ node }) => node === name)?.plugin ?? 'ptp',
  })
  const run = (command: string): Promise<string> => type(lab.state(), command)
  const isReady = (name: string) => run(`kubectl wait --for=condition=Ready pod/${name} --timeout=30s`)
  const sourceOf = async (name: string, url = outpost): Promise<string | undefined> =>
    /source IP \(([^)]+)\)/.exec(
      await run(`kubectl exec ${name} -- curl -s --max-time 2 ${url} || true`),
    )?.[1]
  const statusOn = (node: string): Promise<string> =>
    run(`kubectl -n kube-system exec ${agentPodOn(node)} -- sallyport status || true`)

  test('before an install, every pod leaves with its node’s address', async () => {
    await run(preparation)
    await run(server('cantina', 'kind-control-plane'))
    for (const { plugin, node } of sources)
      await run(
        `${pod(`xwing-${plugin}`, `alliance-${plugin}`, node)}\n${pod(`tiefighter-${plugin}`, 'empire', node)}`,
      )
    await isReady('cantina')
    for (const { plugin, nodeAddress } of sources)
      for (const name of [`xwing-${plugin}`, `tiefighter-${plugin}`]) {
        await isReady(name)
        await eventually('the outpost answers', async () => (await sourceOf(name)) === nodeAddress)
      }
  })

  test('an install adopts running pods, and a policy applies to them', async () => {
    await run(
      `sallyport install --set 'cni.chainingMode=generic-veth,devices={eth+,net+}' && sallyport status --wait`,
    )
    for (const { plugin } of sources) {
      const xwing = `xwing-${plugin}`
      await run(policyOf(plugin))
      await eventually('the X-Wing has the egress IP', async () => (await sourceOf(xwing)) === egressIp)
      assert.equal(
        await run(`kubectl get pod ${xwing} -o 'jsonpath={.status.containerStatuses[0].restartCount}'`),
        '0',
      )
    }
    await run(outsideService)
  })

  describe('on each node', { concurrency: true }, () => {
    for (const { plugin, node, nodeAddress } of sources)
      describe(`behind the ${plugin} plugin`, { concurrency: 1 }, () => {
        const named = (name: string): string => `${name}-${plugin}`
        const [alliance, grounded] = [named('alliance'), named('grounded')]
        const [xwing, tiefighter] = [named('xwing'), named('tiefighter')]
        const [awing, bwing, ywing] = [named('awing'), named('bwing'), named('ywing')]
        const agentPod = agentPodOn(node)

        /** How often the outpost has seen which address, but for the egress IP and what other nodes do meanwhile. */
        const seenOfOthers = async (): Promise<Readonly<Record<string, number>>> => {
          const elsewhere = addressesOfSources.filter((address) => address !== nodeAddress)
          const seen = Object.entries(await seenByOutpost(lab.state()))
          return Object.fromEntries(seen.filter(([address]) => ![egressIp, ...elsewhere].includes(address)))
        }

        test('traffic that no policy selects still leaves through the other CNI plugin', async () => {
          assert.equal(await sourceOf(tiefighter), nodeAddress)
        })

        test('pods of other nodes see a pod’s own address even if a policy covers 0.0.0.0/0', async () => {
          const cantina = `http://${await run('kubectl get pod cantina -o jsonpath={.status.podIP}')}:8000`
          for (const name of [xwing, tiefighter])
            assert.equal(
              await sourceOf(name, cantina),
              await run(`kubectl get pod ${name} -o jsonpath={.status.podIP}`),
            )
        })

        test('a Service that leads to the outpost does not let a pod avoid its policy', async () => {
          const rules = `table ip services {
        chain prerouting { type nat hook prerouting priority dstnat; ip daddr 10.96.0.77 tcp dport 80 dnat to 172.18.0.7:8000; }
      }`
          await run(`docker exec ${node} sh -c 'nft -f -' <<'END'\n${rules}\nEND`)
          await eventually(
            'a selected pod uses the egress IP',
            async () => (await sourceOf(xwing, 'http://10.96.0.77')) === egressIp,
          )
          assert.equal(await sourceOf(tiefighter, 'http://10.96.0.77'), nodeAddress)
          await run(`docker exec ${node} nft delete table ip services`)
        })

        test('a new pod’s first packet uses the egress IP', async () => {
          const before = await seenOfOthers()
          await run(
            `kubectl run ${ywing} --labels org=${alliance} --image docker.io/tgraf/netperf --overrides '{"spec":{"nodeName":"${node}"}}' --restart=Never --command -- curl -s ${outpost}`,
          )
          await eventually('it has called', async () =>
            (await run(`kubectl logs ${ywing} 2>&1 || true`)).includes(egressIp),
          )
          assert.deepEqual(await seenOfOthers(), before, 'no other address was seen')
        })

        test('a pod waits while its node’s agent is stopped, and sends nothing', async () => {
          const [agent] = await processesOf(lab.state(), node, 'src/agent/main.ts')
          assert.ok(agent)
          const before = await seenOfOthers()
          process.kill(agent, 'SIGSTOP')
          try {
            await run(pod(awing, alliance, node))
            await setTimeout(2_000)
            assert.notEqual(await run(`kubectl get pod ${awing} -o jsonpath={.status.phase}`), 'Running')
            assert.equal(await sourceOf(xwing), egressIp, 'pods that run go on')
          } finally {
            process.kill(agent, 'SIGCONT')
          }
          await isReady(awing)
          assert.equal(await sourceOf(awing), egressIp)
          assert.deepEqual(await seenOfOthers(), before, 'no other address was seen')
        })

        test('a restarted agent finds its pods again', async () => {
          const [agent] = await processesOf(lab.state(), node, 'src/agent/main.ts')
          assert.ok(agent)
          process.kill(agent, 'SIGKILL')
          assert.equal(await sourceOf(xwing), egressIp)
          await eventually('the next one works', async () => {
            const [next] = await processesOf(lab.state(), node, 'src/agent/main.ts')
            return next !== undefined && next !== agent
          })
          await run('sallyport status --wait')
          await run(pod(bwing, alliance, node))
          await isReady(bwing)
          assert.equal(await sourceOf(bwing), egressIp)
          assert.equal(await sourceOf(xwing), egressIp)
        })

        test('the agent follows changes of the other plugin’s file and never edits it', async () => {
          const theirs = '/etc/cni/net.d/10-lab.conflist'
          assert.deepEqual(plugins(JSON.parse(await run(`docker exec ${node} cat ${theirs}`))), [plugin])
          await run(
            `docker exec ${node} sed -i 's/"name": "lab"/"name": "lab", "disableCheck": true/' ${theirs}`,
          )
          await eventually(
            'ours has what theirs has',
            async () => JSON.parse(await run(networkOf(node))).disableCheck === true,
          )
          assert.deepEqual(plugins(JSON.parse(await run(networkOf(node)))), [plugin, 'sallyport-cni'])
          await run(`docker exec ${node} rm /etc/cni/net.d/0-sallyport.conflist`)
          await eventually('ours is there again', async () =>
            (await run(`${networkOf(node)} || true`)).includes('sallyport-cni'),
          )
        })

        test('a forward-chain rule applies to unselected traffic only, and the status says so', async () => {
          const rules = `table ip policies {
        chain forward { type filter hook forward priority filter; ip daddr 172.18.0.7 drop; }
      }`
          await run(`docker exec ${node} sh -c 'nft -f -' <<'END'\n${rules}\nEND`)
          assert.equal(await sourceOf(tiefighter), undefined)
          assert.equal(await sourceOf(xwing), egressIp)
          await run(`docker exec ${node} nft delete table ip policies`)
          await run(`docker exec ${node} nft add table inet kube-network-policies`)
          await run(`docker exec ${node} nft add chain inet kube-network-policies forward`)
          assert.match(
            await run(`kubectl -n kube-system exec ${agentPod} -- sallyport status`),
            /! kube-network-policies enforces/,
          )
          await run(`docker exec ${node} nft delete table inet kube-network-policies`)
          assert.equal(await sourceOf(tiefighter), nodeAddress)
        })

        const policySays = (): Promise<string> =>
          run(
            `kubectl get ciliumegressgatewaypolicy ${plugin} -o jsonpath='{range .status.conditions[*]}{.type}: {.message}{"\\n"}{end}'`,
          )
        const streamed = async (): Promise<readonly string[]> =>
          (await run(`kubectl exec ${xwing} -- cat /run/stream.txt`)).split('\n')
        const agentSays = () => run(`kubectl -n kube-system exec ${agentPod} -- sallyport status`)

        test('a pod that a NetworkPolicy restricts reaches its one partner by the egress IP, and nothing else', async () => {
          await run(
            `kubectl exec ${xwing} -- sh -c 'curl -sN ${outpost}/stream >/run/stream.txt 2>&1 </dev/null &'`,
          )
          await eventually('a connection is open', async () => (await streamed()).length > 5)
          await run(`kubectl label pod ${xwing} crew=${grounded}\n${allowOnly(grounded, 8000)}`)
          await eventually('another port of the partner is denied', async () => {
            await sourceOf(xwing, 'http://172.18.0.7:8001')
            return /[1-9]\d* Policy denied \(DROP_NETWORK_POLICY\)/.test(await agentSays())
          })
          assert.equal(await sourceOf(xwing), egressIp)
          assert.doesNotMatch(await agentSays(), new RegExp(`default/${grounded}`))
          assert.doesNotMatch(await policySays(), /PodsRefused/)
        })

        test('a changed NetworkPolicy ends no open connection, and concerns nobody else', async () => {
          await run(allowOnly(grounded, 8001))
          await eventually('the X-Wing is held back', async () => (await sourceOf(xwing)) === undefined)
          const { length } = await streamed()
          await eventually('the open connection goes on', async () => (await streamed()).length > length)
          assert.equal(await sourceOf(bwing), egressIp)
          assert.equal(await sourceOf(tiefighter), nodeAddress)
          const cantina = `http://${await run('kubectl get pod cantina -o jsonpath={.status.podIP}')}:8000`
          assert.ok(await sourceOf(xwing, cantina), 'within the cluster the other plugin judges')
        })

        test('a NetworkPolicy that cannot be evaluated allows nothing, and the status says which part', async () => {
          await run(allowOnly(grounded, 'http'))
          const says = new RegExp(
            `NetworkPolicy default/${grounded} restricts .*spec\\.egress\\[0\\]\\.ports\\[0\\]: the named port "http"`,
          )
          await eventually('the egress policy says so', async () => says.test(await policySays()))
          assert.match(await agentSays(), says)
          assert.equal(await sourceOf(xwing), undefined)
        })

        test('a deleted NetworkPolicy gives new connections the egress IP again', async () => {
          await run(`kubectl delete networkpolicy ${grounded}`)
          await eventually('the X-Wing leaves', async () => (await sourceOf(xwing)) === egressIp)
          assert.doesNotMatch(await agentSays(), new RegExp(`default/${grounded}`))
          await eventually('so does the egress policy', async () => !/PodsRefused/.test(await policySays()))
        })
      })
  })

  test('an agent that may not read NetworkPolicies changes nothing and says which right is missing', async () => {
    const rights = await run('kubectl get clusterrole sallyport-agent -o json')
    const { rules } = JSON.parse(rights) as { readonly rules: readonly { readonly resources: string[] }[] }
    const setRules = (kept: typeof rules) =>
      run(`kubectl patch clusterrole sallyport-agent --type merge -p '${JSON.stringify({ rules: kept })}'`)
    await setRules(rules.filter(({ resources }) => !resources.includes('networkpolicies')))
    for (const { node } of sources) {
      const [agent] = await processesOf(lab.state(), node, 'src/agent/main.ts')
      assert.ok(agent)
      process.kill(agent, 'SIGKILL')
    }
    for (const { plugin, node } of sources) {
      await eventually('it says so', async () =>
        /has not listed networkpolicies \(.*forbidden/.test(await statusOn(node)),
      )
      assert.equal(await sourceOf(`xwing-${plugin}`), egressIp, 'what its predecessor wrote holds')
    }
    await setRules(rules)
    await run('sallyport status --wait')
  })

  test('an agent forgets deleted pods and keeps the others', async () => {
    const deleted = sources.flatMap(({ plugin }) =>
      ['xwing', 'awing', 'bwing', 'ywing'].map((name) => `${name}-${plugin}`),
    )
    await run(`kubectl delete pod ${deleted.join(' ')} --wait=true --grace-period=1`)
    for (const { plugin, node, nodeAddress } of sources) {
      await eventually('only one is left', async () => /^Pods: +1$/m.test(await statusOn(node)))
      assert.equal(await sourceOf(`tiefighter-${plugin}`), nodeAddress)
    }
  })
})
