import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { stringify } from 'yaml'
import { version } from '../../src/api/version.ts'
import { findKubectl } from '../../src/lab/programs/client-tools.ts'
import { RunningServer } from '../support/running-server.ts'

/* What `make dist` makes is tried as a new user would: in an empty folder, with nothing of this repository in reach. */

const repository = join(import.meta.dirname, '../..')
const folder = mkdtempSync(join(tmpdir(), 'sallyport-dist-'))
const dist = join(folder, 'dist')
const bin = join(folder, 'bin')
const installed = join(folder, 'npm')
const executable = `sallyport-linux-${process.arch}`
const archive = `sallyport-npm-${version}.tgz`
const kubeconfig = join(folder, 'kubeconfig')
let server: RunningServer

before(async () => {
  const made = spawnSync(
    process.execPath,
    ['packaging/main.ts', '--into', dist, '--architectures', process.arch],
    { cwd: repository, encoding: 'utf8' },
  )
  assert.equal(made.status, 0, made.stderr)
  mkdirSync(bin)
  linkSync(join(dist, executable), join(bin, 'sallyport'))
  for (const name of ['kubectl-sallyport', 'kubectl_complete-sallyport'])
    symlinkSync('sallyport', join(bin, name))
  const npm = spawnSync('npm', ['install', '--offline', '--prefix', installed, join(dist, archive)], {
    encoding: 'utf8',
  })
  assert.equal(npm.status, 0, npm.stderr)
  server = await RunningServer.open()
  writeFileSync(
    kubeconfig,
    stringify({
      clusters: [
        { name: 'c', cluster: { server: server.url, 'certificate-authority-data': btoa(server.ca) } },
      ],
      users: [{ name: 'u', user: { exec: credentialPlugin() } }],
      contexts: [{ name: 'c', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'c',
    }),
  )
})

after(async () => {
  await server?.[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

/** What kubeconfigs of cloud providers have in place of a token. */
function credentialPlugin(): unknown {
  const apiVersion = 'client.authentication.k8s.io/v1'
  const credential = { apiVersion, kind: 'ExecCredential', status: { token: server.adminToken } }
  return { apiVersion, command: 'echo', args: [JSON.stringify(credential)], interactiveMode: 'Never' }
}

interface Ending {
  readonly code: number | null
  readonly output: string
}

/** With an environment that has no Node.js. */
async function run(program: string, words: readonly string[], environment = {}): Promise<Ending> {
  const env = { HOME: folder, PATH: `${bin}:/usr/bin:/bin`, ...environment }
  const child = spawn(program, words, {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 60_000,
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text
    })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output }))
  })
}

const inCluster = (...words: string[]) => run('sallyport', words, { KUBECONFIG: kubeconfig })

describe('the executable, on a machine without Node.js,', () => {
  test('prints its version', async () => {
    assert.deepEqual(await run('sallyport', ['version']), { code: 0, output: `sallyport ${version}\n` })
  })

  test('renders the same install as the sources', async () => {
    const sources = await run(join(repository, 'bin/sallyport'), ['install', '--dry-run'])
    assert.deepEqual(await run('sallyport', ['install', '--dry-run']), sources)
    assert.equal(sources.code, 0)
  })

  test('checks a cluster, installs, and prints the state and the settings', async () => {
    const before = await inCluster('preflight')
    assert.match(before.output, /1\.\d+/)
    const install = await inCluster('install', '--set', 'egressGateway.portLeaseIdleTime=7m')
    assert.deepEqual([install.code, /Installed\./.test(install.output)], [0, true], install.output)
    assert.match((await inCluster('config', 'view')).output, /^port-lease-idle-time\s+7m$/m)
    const status = await inCluster('status', '-o', 'json')
    assert.equal(status.code, 1)
    assert.equal((JSON.parse(status.output) as { isReady: boolean }).isReady, false)
  })

  test('says where to run commands that need the sources', async () => {
    assert.deepEqual(await run('sallyport', ['lab', 'up']), {
      code: 1,
      output:
        'sallyport: the lab needs a checkout of the sources on a Linux machine: clone the repository, run ./setup there, then run bin/sallyport lab\n',
    })
  })

  test('needs only the libraries of its Node.js', () => {
    const needed = (path: string): string =>
      spawnSync('ldd', [path], { encoding: 'utf8' }).stdout.replace(/0x\w+/g, '')
    assert.equal(needed(join(bin, 'sallyport')), needed(process.execPath))
  })
})

describe('kubectl', {
  skip: findKubectl() === undefined && 'kubectl is missing: run ./setup on x86-64',
}, () => {
  const kubectl = findKubectl() ?? ''

  test('lists the plugin and runs it', async () => {
    const list = await run(kubectl, ['plugin', 'list'])
    assert.match(list.output, new RegExp(`^${bin}/kubectl-sallyport$`, 'm'))
    assert.equal((await run(kubectl, ['sallyport', 'version'])).output, `sallyport ${version}\n`)
  })

  test('shows usage texts with its own name in front', async () => {
    const help = await run(kubectl, ['sallyport', 'status', '--help'])
    assert.match(help.output, /^Usage: kubectl sallyport status /)
    assert.match((await run(kubectl, ['sallyport', '--help'])).output, /^ {2}kubectl sallyport install /m)
  })

  test('completes the words of the plugin', async () => {
    const { output } = await run(kubectl, [
      '__complete',
      'sallyport',
      'install',
      '--set',
      'cni.chainingMode=',
    ])
    assert.match(output, /^cni\.chainingMode=none\ncni\.chainingMode=generic-veth\n:4$/m)
  })
})

describe('the npm package', () => {
  const program = join(installed, 'node_modules/.bin/sallyport')
  const withNode = { PATH: `${join(process.execPath, '..')}:/usr/bin:/bin` }

  test('runs the command with Node.js 24, also as a plugin of kubectl', async () => {
    assert.equal((await run(program, ['version'], withNode)).output, `sallyport ${version}\n`)
    const help = await run(join(installed, 'node_modules/.bin/kubectl-sallyport'), ['--help'], withNode)
    assert.match(help.output, /^Usage: kubectl sallyport /)
    const words = await run(
      join(installed, 'node_modules/.bin/kubectl_complete-sallyport'),
      ['vers'],
      withNode,
    )
    assert.match(words.output, /^version\t/)
    const completion = await run(program, ['completion', 'bash'], withNode)
    assert.match(completion.output, /^# bash completion for sallyport\n/)
    assert.equal((await run(program, ['install', '--dry-run'], withNode)).code, 0)
  })

  test('says what to do if Node.js is too old', async () => {
    const older = join(folder, 'older.cjs')
    writeFileSync(older, "Object.defineProperty(process, 'versions', { value: { node: '18.20.4' } })\n")
    const { code, output } = await run(process.execPath, ['--require', older, program, 'status'])
    assert.equal(code, 1)
    assert.match(output, /^sallyport: Node\.js 18\.20\.4 is too old, and 24 or later is needed: [^\n]+\n$/)
  })

  test('holds what the command needs and nothing else', () => {
    const { stdout } = spawnSync('tar', ['-tzf', join(dist, archive)], { encoding: 'utf8' })
    assert.deepEqual(stdout.trim().split('\n').sort(), [
      'package/LICENSES.txt',
      'package/README.md',
      'package/bin/kubectl-sallyport.js',
      'package/bin/kubectl_complete-sallyport.js',
      'package/bin/sallyport.js',
      'package/lib/sallyport.cjs',
      'package/package.json',
    ])
  })

  test('hands on the licence of every package that is inside', () => {
    const licenses = readFileSync(join(installed, 'node_modules/sallyport/LICENSES.txt'), 'utf8')
    for (const name of ['commander', 'undici', 'yaml'])
      assert.match(licenses, new RegExp(`^${name} \\d.* \\(\\w+\\)$`, 'm'))
  })
})

test('the list of materials is CycloneDX, names what is inside, and no place that it came from', () => {
  const bill = JSON.parse(readFileSync(join(dist, `sallyport-${version}.cdx.json`), 'utf8'))
  const names = bill.components.map(({ name }: { name: string }) => name)
  assert.deepEqual([bill.bomFormat, bill.metadata.component.name], ['CycloneDX', 'sallyport'])
  assert.deepEqual(
    ['commander', 'koffi', 'undici'].filter((name) => !names.includes(name)),
    [],
  )
  assert.equal(names.includes('typescript'), false)
  assert.doesNotMatch(JSON.stringify(bill), /"type":"distribution"/)
})

test('the checksums are those of all files', () => {
  const sums = readFileSync(join(dist, 'SHA256SUMS'), 'utf8').trim().split('\n')
  const expected = readdirSync(dist)
    .filter((name) => name !== 'SHA256SUMS')
    .sort()
    .map(
      (name) =>
        `${createHash('sha256')
          .update(readFileSync(join(dist, name)))
          .digest('hex')}  ${name}`,
    )
  assert.deepEqual(sums, expected)
  assert.equal(existsSync(join(dist, executable)), true)
})
