import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { kubectlMissing, RunningServer } from '../../../../test/support/running-server.ts'

const server = await RunningServer.open(['guest-token,guest,2'])
after(() => server[Symbol.asyncDispose]())

describe('speaking for somebody else', { skip: kubectlMissing }, () => {
  test('who may, has the other’s rights and no others', async () => {
    const asNode = '--as system:node:n1 --as-group system:nodes'
    assert.equal(
      (await server.kubectl(`auth can-i update nodes/n1 --subresource=status ${asNode}`)).stdout,
      'yes\n',
    )
    assert.match((await server.kubectl(`auth can-i list nodes ${asNode}`)).stdout, /only its own Node object/)
    const refused = await server.kubectl(`get clusterroles ${asNode}`)
    assert.match(refused.stderr, /User "system:node:n1" cannot list resource "clusterroles"/)
  })

  test('who may not, is refused by name', async () => {
    const refused = await server.kubectl('get pods --as admin', '', 'guest-token')
    assert.match(refused.stderr, /users "admin" is forbidden: User "guest" cannot impersonate/)
  })

  test('a group is a right of its own', async () => {
    const role = 'create clusterrole actors --verb=impersonate --resource=users'
    await server.kubectl(role)
    await server.kubectl('create clusterrolebinding actors --clusterrole=actors --user=guest')
    const refused = await server.kubectl('get pods --as x --as-group system:masters', '', 'guest-token')
    assert.match(refused.stderr, /groups "system:masters" is forbidden: User "guest" cannot impersonate/)
  })

  test('a service account is in the groups of its namespace', async () => {
    const { stdout } = await server.kubectl('auth whoami -o yaml --as system:serviceaccount:a:b')
    assert.match(stdout, /- system:serviceaccounts:a\n/)
  })
})
