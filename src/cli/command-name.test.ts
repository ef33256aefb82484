import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readCommandName } from './command-name.ts'

const cases = [
  { name: 'a checkout', environment: {}, starts: ['node', '/src/cli/main.ts'], shown: 'sallyport' },
  {
    name: 'a checkout, by its link for kubectl',
    environment: { SALLYPORT_CALLED_AS: '/opt/bin/kubectl-sallyport' },
    starts: ['node', '/src/cli/main.ts'],
    shown: 'kubectl sallyport',
  },
  {
    name: 'the npm package, started by kubectl',
    environment: {},
    starts: ['node', '/lib/bin/kubectl-sallyport.js'],
    shown: 'kubectl sallyport',
  },
  {
    name: 'a single executable, started by kubectl',
    environment: {},
    starts: ['/home/me/bin/kubectl-sallyport', '/home/me/bin/sallyport'],
    shown: 'kubectl sallyport',
  },
  {
    name: 'a single executable in a folder of that name',
    environment: {},
    starts: ['/home/me/kubectl-sallyport/sallyport', ''],
    shown: 'sallyport',
  },
]

for (const { name, environment, starts, shown } of cases)
  test(`usage texts show "${shown}" for ${name}`, () => {
    assert.deepEqual(readCommandName(environment, starts), { shown, isCompleting: false })
  })

test('the file name kubectl_complete-sallyport means that kubectl asks for completions', () => {
  const name = readCommandName({}, ['/usr/bin/kubectl_complete-sallyport', ''])
  assert.deepEqual(name, { shown: 'kubectl sallyport', isCompleting: true })
})
