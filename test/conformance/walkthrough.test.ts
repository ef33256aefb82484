import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { startLab, stopLab } from '../../src/lab/lab.ts'
import { loadLab, requireLab } from '../../src/lab/lab-state.ts'
import { firstHalf, steps } from '../../src/lab/walkthrough/steps.ts'
import { walk } from '../../src/lab/walkthrough/walk.ts'
import { cannotRun, hangTimeoutMs, type } from '../lab/lab-under-test.ts'
import { type GivenCluster, openCluster } from './given-cluster.ts'

/*
 * The whole story of an egress gateway with an API server that is not the lab's: the one that E2E_KUBECONFIG names, or else one
 * in this machine's own network. The nodes, their pods and all traffic are the lab's. This machine's own is the server of every lab, reached
 * through the relay. The first half has each kind of request that passes the relay.
 */
const story = process.env.E2E_KUBECONFIG === undefined ? firstHalf : steps

describe('the walkthrough in a cluster that exists already', {
  skip: cannotRun,
  timeout: hangTimeoutMs,
}, () => {
  let cluster: GivenCluster
  let name: string

  before(async () => {
    if (cannotRun) return
    cluster = await openCluster()
    name = `e2e-${cluster.suffix}`
    await startLab({ name, kubeconfig: cluster.kubeconfig })
  })
  after(async () => {
    if (cannotRun) return
    if (loadLab(name) !== undefined) await stopLab(name)
    await cluster.close()
  })

  test('every step has the answer that it should have', async (t) => {
    let count = 0
    for await (const { step, answer, problem } of walk(requireLab(name), story, t.signal)) {
      assert.equal(problem, undefined, `${step.command}\n${answer.text}`)
      count++
    }
    assert.equal(count, story.length)
  })

  test('an uninstall leaves the cluster as it was', async () => {
    const state = requireLab(name)
    await type(state, 'kubectl delete pods --all --now; kubectl delete cegp,iegp --all')
    await type(state, 'cilium uninstall --purge --yes')
    const left = await type(
      state,
      `kubectl get daemonsets,deployments,configmaps,clusterroles,crds -A -l app.kubernetes.io/managed-by=sallyport -o name`,
    )
    assert.equal(left, '')
  })
})
