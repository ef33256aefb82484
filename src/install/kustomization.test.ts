import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { test } from 'node:test'
import { parseAllDocuments } from 'yaml'
import { findKubectl, kubectlProblem } from '../lab/programs/client-tools.ts'
import { cleanUpDaemonSet } from './agent-manifests.ts'
import { configMapData } from './configuration.ts'
import { renderKustomization } from './kustomization.ts'
import { defaultNames, type Manifest } from './manifest.ts'
import { renderInstall } from './manifests.ts'

const deploy = join(import.meta.dirname, '../../deploy')
const manifests = renderInstall(configMapData({}), defaultNames)
const cleanUp = cleanUpDaemonSet(configMapData({}))
const nameOf = ({ kind, metadata }: Manifest): string => `${kind}/${metadata.name}`

test('deploy/ is up to date with the code', () => {
  const rendered = renderKustomization(manifests, cleanUp)
  const files = readdirSync(deploy, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => relative(deploy, join(parentPath, name)))
    .filter((file) => !file.startsWith('chart/') && !file.startsWith('monitoring/'))
  assert.deepEqual(files.sort(), [...rendered.keys()].sort())
  for (const [file, text] of rendered)
    assert.equal(
      readFileSync(join(deploy, file), 'utf8'),
      text,
      `deploy/${file} is not up to date: run "bin/sallyport install --to deploy"`,
    )
})

test('every manifest is in exactly one file, unchanged', () => {
  const read = [...renderKustomization(manifests, cleanUp)]
    .filter(([file]) => !/kustomization\.yaml$|clean-up\.yaml$/.test(file))
    .flatMap(([, text]) => parseAllDocuments(text).map((document) => document.toJS() as Manifest))
  const byName = (a: Manifest, b: Manifest): number => (nameOf(a) < nameOf(b) ? -1 : 1)
  assert.deepEqual(read.sort(byName), JSON.parse(JSON.stringify(manifests)).sort(byName))
})

test('a manifest of a kind without a file is an error', () => {
  const stray: Manifest = { apiVersion: 'v1', kind: 'Secret', metadata: { name: 'stray' } }
  assert.throws(
    () => renderKustomization([...manifests, stray], cleanUp),
    /no file is defined for the kind Secret/,
  )
})

const kubectl = findKubectl()

for (const [folder, what, isIn] of [
  ['', 'everything', () => true],
  ['sallyport', 'everything but what another product may have brought', (name: string) => !isPolicy(name)],
  ['policies', 'the definitions of both kinds of policies', (name: string) => isPolicy(name)],
] as const)
  test(`kubectl’s kustomize finds ${what} in ${folder || 'the folder'}`, {
    skip: kubectlProblem() ?? false,
  }, () => {
    const built = spawnSync(kubectl ?? '', ['kustomize', join(deploy, folder)], { encoding: 'utf8' })
    assert.equal(built.status, 0, built.stderr)
    const names = parseAllDocuments(built.stdout).map((document) => nameOf(document.toJS() as Manifest))
    assert.deepEqual(names.sort(), manifests.map(nameOf).filter(isIn).sort())
  })

function isPolicy(name: string): boolean {
  return /^CustomResourceDefinition\/.*\.(cilium\.io|isovalent\.com)$/.test(name)
}
