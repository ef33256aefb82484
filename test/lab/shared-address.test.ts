import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { missingForPlugin, otherPlugins } from '../../src/lab/machines/other-network.ts'
import { cannotRun, eventually, hangTimeoutMs, labFor, type } from './lab-under-test.ts'
import { someNodes } from './story.ts'

/*
 * The first policy that everybody writes, chained: the gateway's own address, which its stack gives to other pods and to the node's
 * processes too.
 */

const flows = new URL('many-flows.ts', import.meta.url).pathname
const outpost = '172.18.0.7'
const port = 9000
const [source, gateway] = ['kind-worker', 'kind-worker2'] as const
const [sourceAddress, gatewayAddress] = ['172.18.0.2', '172.18.0.5'] as const
/** From here on, in steps of four: where leases are granted first. The other clients of the gateway are made to use the same ports. */
const contested = 64576

const preparation = `
kubectl label node ${gateway} egress-gw=true
docker run -d --name remote-outpost --network kind -e ALLOWED_IP=none quay.io/isovalent-dev/egressgw-whatismyip:latest
docker exec remote-outpost sh -c 'setsid ${process.execPath} ${flows} serve ${port} >/dev/null 2>&1 </dev/null &'`

const pod = (name: string, org: string, node: string): string =>
  `kubectl run ${name} --labels org=${org} --image docker.io/tgraf/netperf --overrides '{"spec":{"nodeName":"${node}"}}'`

const policy = `kubectl apply -f - <<'END'
apiVersion: cilium.io/v2
kind: CiliumEgressGatewayPolicy
metadata: {name: first}
spec:
  selectors: [{podSelector: {matchLabels: {org: alliance}}}]
  destinationCIDRs: [0.0.0.0/0]
  egressGateway: {nodeSelector: {matchLabels: {egress-gw: "true"}}}
END`

const pods = '10.244.1.0/24'
const network = '10.244.0.0/16'

/** Postrouting of the gateway, as products write it. The lab's own is like that of the plugins ptp and bridge. */
const ruleSets: Readonly<Record<string, string>> = {
  flannel: `chain postrouting { type nat hook postrouting priority srcnat; jump FLANNEL-POSTRTG; }
chain FLANNEL-POSTRTG {
  meta mark and 0x4000 == 0x4000 return
  ip saddr ${pods} ip daddr ${network} return
  ip saddr ${network} ip daddr ${pods} return
  ip saddr != ${network} ip daddr ${pods} return
  ip saddr ${network} ip daddr != 224.0.0.0/4 masquerade fully-random
  ip saddr != ${network} ip daddr ${network} masquerade fully-random
}
chain FLANNEL-FWD { type filter hook forward priority filter; ip saddr ${network} accept; ip daddr ${network} accept; }`,
  Calico: `set cali40masq-ipam-pools { type ipv4_addr; flags interval; elements = { ${network} } }
set cali40all-ipam-pools { type ipv4_addr; flags interval; elements = { ${network} } }
chain postrouting { type nat hook postrouting priority srcnat; jump cali-POSTROUTING; }
chain cali-POSTROUTING { jump cali-nat-outgoing; }
chain cali-nat-outgoing { ip saddr @cali40masq-ipam-pools ip daddr != @cali40all-ipam-pools masquerade fully-random; }
chain cali-FORWARD { type filter hook forward priority filter; ct state invalid drop; ct state established,related accept; meta mark set meta mark and 0xfff1ffff; }`,
  'kube-proxy': `chain prerouting { type filter hook prerouting priority mangle; ip saddr ${pods} ip daddr != ${network} meta mark set meta mark or 0x4000; }
chain postrouting { type nat hook postrouting priority srcnat; jump KUBE-POSTROUTING; }
chain KUBE-POSTROUTING {
  meta mark and 0x4000 != 0x4000 return
  meta mark set meta mark xor 0x4000
  masquerade fully-random
}
chain KUBE-FORWARD { type filter hook forward priority filter; ct state invalid drop; meta mark and 0x4000 == 0x4000 accept; ct state related,established accept; }`,
}

for (const plugin of otherPlugins) {
  const skip = cannotRun || missingForPlugin(plugin).join('; ') || false
  describe(`the address of a gateway behind the ${plugin} plugin`, { skip, timeout: hangTimeoutMs }, () => {
    const lab = labFor(`test-shared-${plugin}`, { nodes: someNodes(source, gateway), cni: plugin })
    const run = (command: string): Promise<string> => type(lab.state(), command)
    const inPod = (name: string) => (command: string) => run(`kubectl exec ${name} -- ${command}`)
    const onNode = (name: string) => (command: string) => run(`docker exec ${name} ${command}`)

    /** How many flows over TCP and UDP saw which address, or failed how. */
    async function call(
      where: (command: string) => Promise<string>,
      count: number,
      word: string,
      first?: number,
    ) {
      const command = `${process.execPath} ${flows} call ${outpost} ${port} ${count} ${word} ${first ?? ''}`
      return JSON.parse(await where(command)) as Readonly<Record<string, number>>
    }

    /** Selected and unselected pods and processes, on the gateway and beside it, all at once and with the same server. */
    async function everybodyCalls(): Promise<void> {
      const [many, few] = [200, 60]
      const results = await Promise.all([
        call(inPod('xwing'), few, 'selected'),
        call(inPod('ywing'), few, 'selected-on-gateway'),
        call(inPod('tiefighter'), many, 'unselected-on-gateway', contested),
        call(inPod('tiebomber'), few, 'unselected'),
        call(onNode(gateway), few, 'process-of-gateway'),
        call(onNode(gateway), few, 'bound-on-gateway', contested + 1),
      ])
      assert.deepEqual(results, [
        { [gatewayAddress]: 2 * few },
        { [gatewayAddress]: 2 * few },
        { [gatewayAddress]: 2 * many },
        { [sourceAddress]: 2 * few },
        { [gatewayAddress]: 2 * few },
        { [gatewayAddress]: 2 * few },
      ])
    }

    const held = [
      ['the node', onNode(gateway), '/run/words.txt', contested + 2],
      ['a pod that is not selected', inPod('tiefighter'), '/run/words.txt', contested + 6],
    ] as const
    const linesOf = async (where: (command: string) => Promise<string>, file: string): Promise<number> =>
      (await where(`cat ${file}`)).split('\n').length

    async function goOn(): Promise<void> {
      for (const [who, where, file] of held) {
        const before = await linesOf(where, file)
        await eventually(
          `the open connection of ${who} goes on`,
          async () => (await linesOf(where, file)) > before,
        )
      }
    }

    test('connections are open before the install, from ports that flows of policies will have', async () => {
      await run(preparation)
      await run(
      [pod('xwing', 'alliance', source), pod('tiebomber', 'empire', source), pod('ywing', 'alliance', gateway), pod('tiefighter', 'empire', gateway)].join('\n'),
    ) // biome-ignore format: a list
      await run('kubectl wait --for=condition=Ready pod --all --timeout=60s')
      for (const [, where, file, local] of held)
        await where(
          `sh -c 'setsid ${process.execPath} ${flows} hold ${outpost} ${port} ${local} >${file} 2>&1 </dev/null &'`,
        )
      await goOn()
    })

    test('a policy without interface and egressIP is in force, and says what it shares', async () => {
      await run(
        `sallyport install --set 'cni.chainingMode=generic-veth' && sallyport status --wait && ${policy}`,
      )
      await run('kubectl wait --for=condition=Ready cegp/first --timeout=60s')
      const says = await run('kubectl describe cegp first')
      assert.match(says, /Egress IP 172\.18\.0\.5 \(kind-worker2\) .*is the address of a gateway itself/)
      for (const name of ['xwing', 'ywing'])
        await eventually(`${name} has the gateway's address`, async () =>
          (await inPod(name)(`curl -s --max-time 2 http://${outpost}:8000 || true`)).includes(
            `(${gatewayAddress})`,
          ),
        )
      assert.equal(await onNode(gateway)('cat /proc/sys/net/ipv4/ip_local_reserved_ports'), '57344-65535')
      await goOn()
    })

    test('every reply reaches its own client, and earlier connections go on', async () => {
      await everybodyCalls()
      await goOn()
    })

    for (const [product, rules] of Object.entries(ruleSets))
      test(`so it is with rules like those of ${product}`, async () => {
        await onNode(gateway)(`nft -f - <<'END'
table ip masquerading
delete table ip masquerading
table ip masquerading {
${rules}
}
END`)
        await everybodyCalls()
        await goOn()
      })

    test('after an uninstall, the open connections of the node and of other pods go on', async () => {
      await run('sallyport uninstall --yes')
      await goOn()
      assert.equal(await onNode(gateway)('cat /proc/sys/net/ipv4/ip_local_reserved_ports'), '')
    })
  })
}
