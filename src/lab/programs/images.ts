import { version } from '../../api/version.ts'
import { pauseImage } from '../containerd/configuration.ts'
import { repository } from '../layout.ts'

/** An image stands for a program of this machine. The lab pulls nothing. */
interface Image {
  /** The name without tag or digest. */
  readonly name: string
  readonly command: readonly string[]
  /** Root by default. */
  readonly user?: number
  readonly about: string
  /** Its name among the archives that `make image` builds, for nodes with a container runtime. */
  readonly archived?: string
}

const stay = ['sleep', 'infinity']
const toolbox = 'docker.io/library/toolbox:lab'

export const images: readonly Image[] = [
  { name: 'docker.io/tgraf/netperf', command: stay, about: 'a toolbox that sleeps', archived: toolbox },
  { name: 'docker.io/library/busybox', command: stay, about: 'a toolbox that sleeps', archived: toolbox },
  { name: 'docker.io/library/debian', command: stay, about: 'a toolbox that sleeps', archived: toolbox },
  { name: 'registry.k8s.io/pause', command: stay, about: 'sleeps', archived: pauseImage },
  {
    name: 'quay.io/isovalent-dev/egressgw-whatismyip',
    command: [`${repository}/node_modules/.bin/node`, `${repository}/src/lab/programs/outpost.ts`],
    about: 'the outpost, which answers with the caller’s address',
  },
  {
    name: 'docker.io/library/sallyport',
    command: [],
    user: 65532,
    about: 'Sallyport, from this repository',
    archived: `docker.io/library/sallyport:${version}`,
  },
]

/** Finds an image by a short name (`busybox`, `tgraf/netperf`) or a full one, with any tag. */
export function findImage(reference: string): Image | undefined {
  const bare = reference.replace(/@.*$/, '').replace(/:[^/:]*$/, '')
  const first = bare.split('/')[0] ?? ''
  const isQualified = bare.includes('/') && /[.:]|^localhost$/.test(first)
  const full = isQualified ? bare : bare.includes('/') ? `docker.io/${bare}` : `docker.io/library/${bare}`
  return images.find(({ name }) => name === full)
}

export function unknownImage(reference: string): string {
  return `the lab cannot pull ${reference}: use one of ${images.map(({ name }) => name).join(', ')}`
}
