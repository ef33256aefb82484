import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { describe, test } from 'node:test'
import type { SecurityContext } from '../pod-spec.ts'
import { capabilitiesOf, confine, readCapabilities, securityProblem } from './confinement.ts'

const isRoot = process.getuid?.() === 0
const here = readCapabilities('self', 'CapBnd')

describe('the capabilities of a container', () => {
  const cases: readonly { name: string; security: SecurityContext; has: string[]; lacks: string[] }[] = [
    {
      name: 'that asks for nothing are the usual ones',
      security: {},
      has: ['NET_RAW', 'CHOWN'],
      lacks: ['NET_ADMIN'],
    },
    {
      name: 'that drops one lack that',
      security: { capabilities: { drop: ['NET_RAW'] } },
      has: ['CHOWN'],
      lacks: ['NET_RAW'],
    },
    {
      name: 'that drops all are those that it adds',
      security: { capabilities: { drop: ['ALL'], add: ['NET_ADMIN'] } },
      has: ['NET_ADMIN'],
      lacks: ['CHOWN', 'NET_RAW'],
    },
    {
      name: 'that is privileged are all that this machine has',
      security: { privileged: true },
      has: [...here],
      lacks: [],
    },
  ]
  for (const { name, security, has, lacks } of cases)
    test(name, () => {
      const capabilities = capabilitiesOf(security)
      assert.deepEqual(
        has.filter((each) => here.has(each) && !capabilities.has(each)),
        [],
      )
      assert.deepEqual(
        lacks.filter((each) => capabilities.has(each)),
        [],
      )
    })
})

test('who must not be root and would be is not started', () => {
  assert.match(securityProblem({ runAsNonRoot: true }) ?? '', /will run as root/)
  assert.equal(securityProblem({ runAsNonRoot: true, runAsUser: 65532 }), undefined)
})

test('a command runs as the user and with the capabilities of its container', {
  skip: isRoot ? false : 'only root gives up rights',
}, () => {
  const status = (security: SecurityContext): string => {
    const [command = '', ...words] = confine(security, ['cat', '/proc/self/status'])
    return spawnSync(command, words, { encoding: 'utf8' }).stdout
  }
  const agent = status({ capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'DAC_OVERRIDE'] } })
  for (const set of ['CapPrm', 'CapEff', 'CapBnd'])
    assert.match(agent, new RegExp(`^${set}:\\s*0000000000001002$`, 'm'))
  const operator = status({
    runAsUser: 65532,
    allowPrivilegeEscalation: false,
    capabilities: { drop: ['ALL'] },
  })
  assert.match(operator, /^Uid:\t65532\t65532\t65532\t65532$/m)
  assert.match(operator, /^NoNewPrivs:\t1$/m)
  assert.match(operator, /^CapEff:\s*0000000000000004$/m, 'it reads what its image would have for it')
})
