import { version } from '../api/version.ts'
import { pauseImage } from './containerd/configuration.ts'
import { repository } from './layout.ts'

/** What an image means here: a program of this machine. Nothing is pulled. */
export interface Image {
  /** Without tag or digest. */
  readonly name: string
  readonly command: readonly string[]
  /** Root where it is not said. */
  readonly user?: number
  readonly about: string
  /** What stands for it on nodes with a container runtime: by this name it is among the archives that `make image` builds. */
  readonly archived?: string
}

const stay = ['sleep', 'infinity']
const toolbox = 'docker.io/library/toolbox:lab'

export const images: readonly Image[] = [
  { name: 'docker.io/tgraf/netperf', command: stay, about: 'a toolbox that waits', archived: toolbox },
  { name: 'docker.io/library/busybox', command: stay, about: 'a toolbox that waits', archived: toolbox },
  { name: 'docker.io/library/debian', command: stay, about: 'a toolbox that waits', archived: toolbox },
  { name: 'registry.k8s.io/pause', command: stay, about: 'waits', archived: pauseImage },
  {
    name: 'quay.io/isovalent-dev/egressgw-whatismyip',
    command: [`${repository}/node_modules/.bin/node`, `${repository}/src/lab/outpost.ts`],
    about: 'the outpost: tells callers their address',
  },
  {
    name: 'docker.io/library/sallyport',
    command: [],
    user: 65532,
    about: 'this very repository',
    archived: `docker.io/library/sallyport:${version}`,
  },
]

/** `busybox`, `tgraf/netperf` and full names alike, with any tag. */
export function findImage(reference: string): Image | undefined {
  const bare = reference.replace(/@.*$/, '').replace(/:[^/:]*$/, '')
  const first = bare.split('/')[0] ?? ''
  const isQualified = bare.includes('/') && /[.:]|^localhost$/.test(first)
  const full = isQualified ? bare : bare.includes('/') ? `docker.io/${bare}` : `docker.io/library/${bare}`
  return images.find(({ name }) => name === full)
}

export function unknownImage(reference: string): string {
  return `the lab cannot pull ${reference}; it knows ${images.map(({ name }) => name).join(', ')}`
}
