import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { followedTo, nodeIn } from './pod-node.ts'
import { steps } from './steps.ts'

const stepAt = (section: string, title: string) => {
  const found = steps.find((step) => step.section === section && step.title === title)
  assert.ok(found)
  return found
}
const wide = (node: string): string =>
  `NAME    READY   STATUS    RESTARTS   AGE   IP            NODE          NOMINATED NODE\nxwing   1/1     Running   0          9s    10.244.1.5   ${node}   <none>`

describe('the walkthrough follows the X-Wing', () => {
  test('to the node in the answer of kubectl', () => {
    assert.equal(nodeIn(wide('kind-worker2')), 'kind-worker2')
    assert.equal(nodeIn('xwing 0/1 Pending 0 1s <none> <none> <none>'), undefined)
  })

  test('without any change on the node of the document', () => {
    for (const step of steps) assert.equal(followedTo('kind-worker', step), step)
  })

  test('to the other worker, in commands and in expected answers', () => {
    const agent = followedTo('kind-worker2', stepAt('The routing mechanism', 'Find the agent on that node'))
    assert.match(agent.command, /spec\.nodeName=kind-worker2$/)
    const shown = followedTo('kind-worker2', stepAt('Zones', 'Find the node of the X-Wing'))
    const problemOf = (text: string) => shown.expect?.({ text, exitCode: 0 })
    assert.equal(problemOf(wide('kind-worker2')), undefined)
    assert.match(problemOf(wide('kind-worker')) ?? '', /missing/)
  })

  test('with the zone east on its node, and with the gateways’ zones unchanged', () => {
    const east = followedTo('kind-worker2', stepAt('Zones', 'Label two nodes with the zone east'))
    assert.match(east.command, /node kind-worker2 topology\S+=east\n.*node kind-worker3 topology\S+=east/)
    const labels = [
      'kind-worker2 zone=east',
      'kind-worker3 zone=east',
      'kind-worker zone=west',
      'kind-worker4 zone=west',
    ]
    const all = followedTo('kind-worker2', stepAt('Zones', 'All four nodes have a zone'))
    assert.equal(all.expect?.({ text: labels.join('\n'), exitCode: 0 }), undefined)
  })
})
