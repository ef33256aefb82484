import { createHash } from 'node:crypto'
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { repository } from '../layout.ts'
import { run } from '../machines/machine.ts'
import { containerdConfiguration, containerdNamespace, containerdSocket } from './configuration.ts'

const archives = ['sallyport.tar', 'toolbox.tar', 'pause.tar'].map((name) =>
  join(repository, 'build/image', name),
)

/** Why nodes have no images to start; undefined when they have. */
export function missingImages(): string | undefined {
  return archives.every((archive) => existsSync(archive))
    ? undefined
    : 'the images of the lab’s nodes are not built: make image'
}

/**
 * A folder with imported and unpacked images. Each node starts with a copy. It is made once for each build of the images, by
 * a containerd that runs only for this, in namespaces of its own.
 */
export function prepareImageStore(): string {
  const digest = createHash('sha256')
  for (const archive of archives) digest.update(readFileSync(`${archive}.inputs`))
  const parent = join(repository, 'build/image/containerd')
  const store = join(parent, digest.digest('hex').slice(0, 16))
  if (existsSync(store)) return store
  mkdirSync(parent, { recursive: true })
  for (const old of leftovers(readdirSync(parent), isRunning))
    rmSync(join(parent, old), { recursive: true, force: true })
  const unfinished = `${store}.unfinished-${process.pid}`
  mkdirSync(unfinished)
  const configuration = join(unfinished, 'import.toml')
  writeFileSync(configuration, containerdConfiguration(unfinished))
  const namespaces = [
    '--net',
    '--mount',
    '--pid',
    '--fork',
    '--kill-child',
    '--propagation=private',
    '--mount-proc',
  ]
  run('unshare', [...namespaces, '--', 'sh', '-ec', importing, 'import', configuration, ...archives])
  if (existsSync(store)) rmSync(unfinished, { recursive: true, force: true })
  else renameSync(unfinished, store)
  return store
}

/** Of the folder's entries those that nobody uses. Another lab that starts at the same time may be making its store. */
export function leftovers(entries: readonly string[], isAlive: (pid: number) => boolean): readonly string[] {
  return entries.filter((entry) => {
    const [, pid] = /\.unfinished-(\d+)$/.exec(entry) ?? []
    return pid === undefined || !isAlive(Number(pid))
  })
}

const isRunning = (pid: number): boolean => existsSync(`/proc/${pid}`)

/** What is wrong is in what it prints, which is shown if it fails. */
const importing = `mount -t tmpfs tmpfs /run
configuration=$1; shift
containerd --config "$configuration" 2>/run/containerd.log & containerd=$!
for try in $(seq 100); do [ -S ${containerdSocket} ] && break; sleep 0.1; done
for archive; do
  ctr --address ${containerdSocket} --namespace ${containerdNamespace} images import "$archive" || { tail -n 5 /run/containerd.log; exit 1; }
done
kill $containerd; wait $containerd || true`

/** Files that nodes only read are shared. Each node has its own databases. */
export function copyImageStore(store: string, target: string): void {
  rmSync(target, { recursive: true, force: true })
  try {
    run('cp', ['--archive', '--link', store, target])
  } catch {
    /* It is on another file system. */
    rmSync(target, { recursive: true, force: true })
    run('cp', ['--archive', store, target])
  }
  for (const database of globSync('**/*.db', { cwd: store })) {
    rmSync(join(target, database))
    cpSync(join(store, database), join(target, database))
  }
}
