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

describe('the story follows the X-Wing', () => {
  test('to the node that the scheduler chose', () => {
    assert.equal(nodeIn(wide('kind-worker2')), 'kind-worker2')
    assert.equal(nodeIn('xwing 0/1 Pending 0 1s <none> <none> <none>'), undefined)
  })

  test('a pod where the document has it leaves the story as it is written', () => {
    for (const step of steps) assert.equal(followedTo('kind-worker', step), step)
  })

  test('on the other worker, commands ask that one, and answers must name it', () => {
    const agent = followedTo('kind-worker2', stepAt('The routing mechanism', 'The agent on that node'))
    assert.match(agent.command, /spec\.nodeName=kind-worker2$/)
    const shown = followedTo('kind-worker2', stepAt('Zones', "The X-Wing's node"))
    const says = (text: string) => shown.expect?.({ text, exitCode: 0 })
    assert.equal(says(wide('kind-worker2')), undefined)
    assert.match(says(wide('kind-worker')) ?? '', /missing/)
  })

  test('its zone is the east’s wherever it runs, and gateways keep theirs', () => {
    const east = followedTo('kind-worker2', stepAt('Zones', 'Two nodes in the east'))
    assert.match(east.command, /node kind-worker2 topology\S+=east\n.*node kind-worker3 topology\S+=east/)
    const labels = [
      'kind-worker2 zone=east',
      'kind-worker3 zone=east',
      'kind-worker zone=west',
      'kind-worker4 zone=west',
    ]
    const all = followedTo('kind-worker2', stepAt('Zones', 'All four have a zone'))
    assert.equal(all.expect?.({ text: labels.join('\n'), exitCode: 0 }), undefined)
  })
})
