import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { chainNetwork, chooseNetworkFile, ownFiles } from './network-list.ts'

const entry = { type: 'sallyport-cni', agentSocket: '/run/sallyport/agent.sock' }
const chain = (name: string, content: object | string) =>
  JSON.parse(
    chainNetwork({ name, content: typeof content === 'string' ? content : JSON.stringify(content) }, entry),
  )

describe('the network that our plugin is chained to', () => {
  for (const [what, names, expected] of [
    ['is the first by name', ['10-flannel.conflist', '10-calico.conflist'], '10-calico.conflist'],
    ['may be the file of a single plugin', ['99-loopback.conf', '10-ptp.conf'], '10-ptp.conf'],
    [
      'is never our own file, of either mode',
      [...Object.values(ownFiles), '10-kindnet.conflist'],
      '10-kindnet.conflist',
    ],
    ['is not a file that runtimes skip', ['00-readme.txt', '10-kindnet.conflist.new'], undefined],
  ] as const)
    test(what, () => assert.equal(chooseNetworkFile(names), expected))

  test('sorts after our file, whatever number it has', () => {
    for (const name of ['00-multus.conf', '05-cilium.conflist', '10-kindnet.conflist'])
      assert.equal([name, ownFiles.chained].sort()[0], ownFiles.chained)
  })
})

describe('our plugin in another plugin’s network', () => {
  const kindnet = {
    cniVersion: '0.3.1',
    name: 'kindnet',
    disableCheck: true,
    plugins: [{ type: 'ptp', ipMasq: false }, { type: 'portmap' }],
  }

  test('comes last, and everything else stays, also the name under which addresses were assigned', () => {
    assert.deepEqual(chain('10-kindnet.conflist', kindnet), {
      ...kindnet,
      plugins: [...kindnet.plugins, entry],
    })
  })

  test('is there once, even if the list already contains it', () => {
    const once = chain('10-kindnet.conflist', kindnet)
    assert.deepEqual(chain('10-kindnet.conflist', once), once)
  })

  test('turns the file of a single plugin into a list', () => {
    const single = { cniVersion: '1.0.0', name: 'lab', type: 'bridge', bridge: 'cni0' }
    assert.deepEqual(chain('10-lab.conf', single), {
      cniVersion: '1.0.0',
      name: 'lab',
      plugins: [{ type: 'bridge', bridge: 'cni0' }, entry],
    })
  })

  test('is not chained to a file that is not a network configuration', () => {
    assert.throws(() => chain('10-half.conflist', '{"plugins": ['), /10-half\.conflist is not valid JSON/)
    for (const odd of [{}, [], 'null', { plugins: [] }, { name: 'x' }])
      assert.throws(() => chain('10-odd.conflist', odd), /10-odd\.conflist has neither plugins nor type/)
  })
})
