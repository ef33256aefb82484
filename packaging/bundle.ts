import { join } from 'node:path'
import { build, type Plugin } from 'esbuild'

export const repository = join(import.meta.dirname, '..')

export interface Bundle {
  /** A CommonJS module: a single executable of Node.js 24 takes no other. */
  readonly code: string
  /** Folders of the npm packages inside, below node_modules. */
  readonly packages: readonly string[]
}

/**
 * Parts of the command that need a Linux node: they call the C library through koffi, read the compiled datapath, or start the sources
 * as processes. Whoever asks for one gets this sentence instead.
 */
const leftOut: readonly { readonly files: RegExp; readonly sentence: string }[] = [
  {
    files: /\/lab\/command\.ts$/,
    sentence:
      'the lab runs from a checkout of the sources on a Linux machine: clone the repository, run ./setup there, then bin/sallyport lab',
  },
  {
    files: /\/agent\/node-checks\.ts$|\/datapath\/(datapath|netlink)\.ts$/,
    sentence:
      "preflight of a node runs in the agent's pod: kubectl -n kube-system exec ds/sallyport -- sallyport preflight; for the cluster, set KUBECONFIG",
  },
]

const leaveOut: Plugin = {
  name: 'leave-out',
  setup: (plugin) => {
    for (const [index, { files }] of leftOut.entries())
      plugin.onResolve({ filter: files }, () => ({ namespace: 'left-out', path: String(index) }))
    plugin.onLoad({ filter: /.*/, namespace: 'left-out' }, ({ path }) => ({
      contents: `throw new Error(${JSON.stringify(leftOut[Number(path)]?.sentence)})`,
    }))
  },
}

/** The command and its libraries as one module. Node.js runs no TypeScript below node_modules, and one file has no node_modules. */
export async function bundleCommand(): Promise<Bundle> {
  const { outputFiles, metafile } = await build({
    entryPoints: [join(repository, 'src/cli/main.ts')],
    absWorkingDir: repository,
    bundle: true,
    write: false,
    metafile: true,
    platform: 'node',
    target: 'node24',
    format: 'cjs',
    // A single executable loads nothing but Node.js's own modules, and these only by `require`.
    supported: { 'dynamic-import': false },
    // Nothing lies beside a bundle, as it does beside the sources: what looks there must find nothing.
    define: { 'import.meta.dirname': '"/nonexistent/packaged/sallyport"' },
    legalComments: 'none',
    logLevel: 'silent',
    plugins: [leaveOut],
  })
  const inputs = Object.keys(metafile.inputs)
  const native = inputs.filter((path) => /node_modules\/koffi\/|\.node$/.test(path))
  if (native.length > 0)
    throw new Error(
      `the command would need native code: ${native.join(', ')}; import it where it runs, and leave it out here`,
    )
  return { code: outputFiles[0]?.text ?? '', packages: packagesOf(inputs) }
}

function packagesOf(inputs: readonly string[]): readonly string[] {
  const folders = inputs.flatMap((path) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? [])
  return [...new Set(folders)].sort()
}
