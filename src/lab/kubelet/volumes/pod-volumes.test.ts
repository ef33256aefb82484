import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, afterEach, before, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { RunningServer } from '../../../../test/support/running-server.ts'
import { KubeClient } from '../../../kube/client.ts'
import { type Clock, systemClock } from '../../../runtime/clock.ts'
import { createLog } from '../../../runtime/log.ts'
import type { Container, Pod } from '../pod-spec.ts'
import { bindsOf } from './binds.ts'
import { PodVolumes } from './pod-volumes.ts'
import type { Volume, VolumeMount } from './volume-spec.ts'

const log = createLog('test', 'silent')
const path = (paths: ReadonlyMap<string, string>, name: string, file: string): string =>
  join(paths.get(name) ?? '', file)
const textAt = (...of: Parameters<typeof path>): string => readFileSync(path(...of), 'utf8')

describe('the volumes of a pod', () => {
  const directory = mkdtempSync(join(tmpdir(), 'kubelet-volumes-'))
  let server: RunningServer
  let client: KubeClient
  let volumes: PodVolumes
  let nowMs = Date.now()
  const clock: Clock = { ...systemClock, now: () => nowMs }

  before(async () => {
    server = await RunningServer.open()
    const access = { server: server.url, ca: server.ca, token: () => server.adminToken }
    client = new KubeClient(access, { userAgent: 'test' })
    volumes = new PodVolumes({
      client,
      clock,
      log,
      directory,
      allocatable: { cpu: '2', memory: '4Gi' },
      authority: 'the relay’s\n',
      onChange: () => {},
    })
    await server.kubectl('create configmap settings --from-literal=a=1 --from-literal=b=2')
    await server.kubectl('create configmap kube-root-ca.crt --from-literal=ca.crt=the-cluster’s')
    await server.kubectl('create secret generic keys --from-literal=password=s3cret')
  })
  /** What was not forgotten would be watched for ever. */
  const pods = new Set(['uid-1'])
  const forgetAll = (): void => {
    for (const uid of pods) volumes.forget(uid)
  }
  afterEach(forgetAll)
  after(async () => {
    await client[Symbol.asyncDispose]()
    await server[Symbol.asyncDispose]()
    rmSync(directory, { recursive: true, force: true })
  })

  /** A pod with these volumes, all mounted. */
  const podWith = (sources: readonly Volume[], spec: object = {}, mounts?: readonly VolumeMount[]): Pod => ({
    metadata: { name: 'p', namespace: 'default', uid: 'uid-1', labels: { app: 'x', tier: 'a "b"' } },
    spec: {
      containers: [
        {
          name: 'c',
          image: 'busybox',
          resources: { limits: { cpu: '1500m' } },
          volumeMounts: mounts ?? sources.map(({ name }) => ({ name, mountPath: `/etc/${name}` })),
        },
      ],
      volumes: sources,
      ...spec,
    },
  })

  /** A pod as the API server stored it. */
  const admitted = async (name: string, spec: object = {}): Promise<Pod> => {
    const created = await server.ask('POST', '/api/v1/namespaces/default/pods', {
      metadata: { name },
      spec: { containers: [{ name: 'c', image: 'busybox' }], ...spec },
    })
    const pod = JSON.parse(created.text) as Pod
    pods.add(pod.metadata.uid ?? '')
    return pod
  }
  const tokenOf = async (pod: Pod) => {
    const [bind] = bindsOf(pod, pod.spec.containers[0] as Container, await volumes.mounts(pod))
    return statSync(join(bind?.source ?? '', 'token'))
  }

  test('a pod as admission leaves it has its token, its authority and its namespace', async () => {
    const pod = await admitted('admitted')
    const paths = await volumes.mounts(pod)
    const [bind] = bindsOf(pod, pod.spec.containers[0] as Container, paths)
    assert.equal(bind?.target, '/var/run/secrets/kubernetes.io/serviceaccount')
    assert.equal(bind.isReadOnly, true)
    const inside = (file: string): string => readFileSync(join(bind.source, file), 'utf8')
    assert.equal(inside('namespace'), 'default')
    assert.equal(inside('ca.crt'), 'the-cluster’s\nthe relay’s\n')
    const token = inside('token')
    const answer = await server.ask(
      'POST',
      '/apis/authentication.k8s.io/v1/selfsubjectreviews',
      {},
      {
        authorization: `Bearer ${token}`,
      },
    )
    assert.match(answer.text, /system:serviceaccount:default:default/)
    nowMs += 40 * 60_000
    await volumes.mounts(pod)
    assert.equal(inside('token'), token, 'two thirds of its life are over')
    nowMs += 10 * 60_000
    await volumes.mounts(pod)
    assert.notEqual(inside('token'), token, 'four fifths of its life are over')
    forgetAll()
    assert.equal(existsSync(bind.source), false)
  })

  test('ConfigMaps and Secrets: all keys, or some at other paths with other modes; what changes follows', async () => {
    const pod = podWith([
      { name: 'all', configMap: { name: 'settings' } },
      { name: 'some', configMap: { name: 'settings', items: [{ key: 'b', path: 'deep/b', mode: 0o400 }] } },
      { name: 'secret', secret: { secretName: 'keys', defaultMode: 0o440 } },
    ])
    const paths = await volumes.mounts(pod)
    assert.equal(textAt(paths, 'all', 'a') + textAt(paths, 'all', 'b'), '12')
    assert.equal(textAt(paths, 'some', 'deep/b'), '2')
    assert.equal(statSync(path(paths, 'some', 'deep/b')).mode & 0o777, 0o400)
    assert.equal(existsSync(path(paths, 'some', 'a')), false)
    assert.equal(textAt(paths, 'secret', 'password'), 's3cret')
    assert.equal(statSync(path(paths, 'secret', 'password')).mode & 0o777, 0o440)
    await server.kubectl('patch configmap settings -p {"data":{"a":"changed"}}')
    for (let tries = 0; textAt(paths, 'all', 'a') !== 'changed'; tries++) {
      assert.ok(tries < 100)
      await setTimeout(50)
      await volumes.mounts(pod)
    }
  })

  test('the downward API: fields, one label, and a limit in the divisor’s units', async () => {
    const fieldRef = (fieldPath: string) => ({ fieldRef: { fieldPath } })
    const pod = podWith([
      {
        name: 'd',
        downwardAPI: {
          items: [
            { path: 'name', ...fieldRef('metadata.name') },
            { path: 'labels', ...fieldRef('metadata.labels') },
            { path: 'app', ...fieldRef("metadata.labels['app']") },
            { path: 'cpu', resourceFieldRef: { containerName: 'c', resource: 'limits.cpu', divisor: '1m' } },
            { path: 'memory', resourceFieldRef: { containerName: 'c', resource: 'limits.memory' } },
          ],
        },
      },
    ])
    const paths = await volumes.mounts(pod)
    const read = (file: string): string => textAt(paths, 'd', file)
    assert.deepEqual(['name', 'labels', 'app', 'cpu', 'memory'].map(read), [
      'p',
      'app="x"\ntier="a \\"b\\""',
      'x',
      '1500',
      String(4 * 2 ** 30),
    ])
  })

  test('a pod’s only user owns its token and nobody else may read it; a group of its own reads everything', {
    skip: process.getuid?.() === 0 ? false : 'only root gives files away',
  }, async () => {
    const own = await tokenOf(await admitted('mine', { securityContext: { runAsUser: 65532 } }))
    assert.deepEqual([own.uid, own.mode & 0o777], [65532, 0o600])
    const shared = await tokenOf(await admitted('ours', { securityContext: { fsGroup: 2000 } }))
    assert.deepEqual([shared.gid, shared.mode & 0o777], [2000, 0o640])
  })

  const failures: readonly { name: string; volume: Volume; says: string }[] = [
    {
      name: 'a ConfigMap that is not there',
      volume: { name: 'v', configMap: { name: 'late' } },
      says: 'MountVolume.SetUp failed for volume "v" : configmap "late" not found',
    },
    {
      name: 'a key that is not there',
      volume: { name: 'v', secret: { secretName: 'keys', items: [{ key: 'none', path: 'n' }] } },
      says: 'MountVolume.SetUp failed for volume "v" : references non-existent secret key: none',
    },
    {
      name: 'several that are not there, all named at once',
      volume: {
        name: 'v',
        projected: { sources: [{ configMap: { name: 'x' } }, { secret: { name: 'y' } }] },
      },
      says: 'MountVolume.SetUp failed for volume "v" : [configmap "x" not found, secret "y" not found]',
    },
    {
      name: 'a path of the node that is of another type',
      volume: { name: 'v', hostPath: { path: '/none', type: 'Directory' } },
      says: 'MountVolume.SetUp failed for volume "v" : hostPath type check failed: /none is not a directory',
    },
    {
      name: 'a kind that this kubelet does not know',
      volume: { name: 'v', persistentVolumeClaim: { claimName: 'c' } } as Volume,
      says: 'Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], failed to process volumes=[v]: failed to get Plugin from volumeSpec for volume "v" err=no volume plugin matched',
    },
  ]
  for (const { name, volume, says } of failures)
    test(`a mount fails in a real kubelet’s words: ${name}`, async () => {
      await assert.rejects(volumes.mounts(podWith([volume])), { message: says })
    })

  test('what is optional may be missing, and what no container mounts is left alone', async () => {
    const optional: Volume = { name: 'o', configMap: { name: 'none', optional: true } }
    const unmounted: Volume = { name: 'u', configMap: { name: 'none' } }
    const pod = podWith([optional, unmounted], {}, [{ name: 'o', mountPath: '/etc/o' }])
    assert.deepEqual([...(await volumes.mounts(pod)).keys()], ['o'])
  })

  test('a part of a volume: a file, or a folder that is made; a link never leads out of it', async () => {
    const mounts: VolumeMount[] = [
      { name: 'all', mountPath: '/etc/a', subPath: 'a' },
      { name: 'e', mountPath: '/etc/e/below', subPath: 'made/here' },
      { name: 'e', mountPath: '/etc/e' },
    ]
    const pod = podWith(
      [
        { name: 'all', configMap: { name: 'settings' } },
        { name: 'e', emptyDir: {} },
      ],
      {},
      mounts,
    )
    const binds = bindsOf(pod, pod.spec.containers[0] as Container, await volumes.mounts(pod))
    assert.deepEqual(
      binds.map(({ target }) => target),
      ['/etc/a', '/etc/e', '/etc/e/below'],
      'what is inside another mount comes after it',
    )
    assert.equal(statSync(binds[0]?.source ?? '').isFile(), true)
    assert.equal(statSync(binds[2]?.source ?? '').isDirectory(), true)
    const out = podWith([{ name: 'h', hostPath: { path: '/proc/self', type: '' } }], {}, [
      { name: 'h', mountPath: '/etc/h', subPath: 'root' },
    ])
    volumes.forget('uid-1')
    const paths = await volumes.mounts(out)
    assert.throws(() => bindsOf(out, out.spec.containers[0] as Container, paths), /leads out of the volume/)
  })
})
