import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { build, type Plugin } from 'esbuild'

export const repository = join(import.meta.dirname, '..')

export interface Bundle {
  /** A CommonJS module, because a single executable of Node.js 24 accepts no other. */
  readonly code: string
  /** Folders of the npm packages inside, below node_modules. */
  readonly packages: readonly string[]
}

/**
 * Parts of the command that need a Linux node: they call the C library through koffi, read the compiled datapath, or run the sources as
 * processes. The bundle replaces each of them with an error.
 */
const leftOut: readonly { readonly files: RegExp; readonly message: string }[] = [
  {
    files: /\/lab\/command\.ts$/,
    message:
      'the lab needs a checkout of the sources on a Linux machine: clone the repository, run ./setup there, then run bin/sallyport lab',
  },
  {
    files: /\/agent\/node\/node-checks\.ts$|\/datapath\/datapath\.ts$|\/linux\/netlink\.ts$/,
    message:
      'preflight of a node runs only in the pod of its agent. To find the pod of NODE: kubectl -n kube-system get pods -l k8s-app=sallyport --field-selector spec.nodeName=NODE. Then: kubectl -n kube-system exec POD -- sallyport preflight. To check the cluster, set KUBECONFIG',
  },
]

const leaveOut: Plugin = {
  name: 'leave-out',
  setup: (plugin) => {
    for (const [index, { files }] of leftOut.entries())
      plugin.onResolve({ filter: files }, () => ({ namespace: 'left-out', path: String(index) }))
    plugin.onLoad({ filter: /.*/, namespace: 'left-out' }, ({ path }) => ({
      contents: `throw new Error(${JSON.stringify(leftOut[Number(path)]?.message)})`,
    }))
  },
}

/** The page of `sallyport ui` becomes a part of the bundle. */
const withPage: Plugin = {
  name: 'with-page',
  setup: (plugin) =>
    void plugin.onLoad({ filter: /\/cli\/ui\/page-files\.ts$/ }, async () => {
      const folder = join(repository, 'src/ui/page')
      const { outputFiles } = await build({
        entryPoints: [join(folder, 'main.ts')],
        ...{ bundle: true, write: false, minify: true, format: 'esm', target: 'es2022', logLevel: 'silent' },
      })
      const read = (name: string): string => readFileSync(join(folder, name), 'utf8')
      const page = { html: read('page.html'), style: read('page.css'), script: outputFiles[0]?.text ?? '' }
      return { contents: `export const readPage = () => (${JSON.stringify(page)})` }
    }),
}

/** Bundles the command and its libraries into one module. The npm package needs that, because Node.js runs no TypeScript below node_modules. */
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
    // A single executable can only load Node.js's own modules, and only by `require`.
    supported: { 'dynamic-import': false },
    // There are no sources beside a bundle, so code that looks for them must find nothing.
    define: { 'import.meta.dirname': '"/nonexistent/packaged/sallyport"' },
    legalComments: 'none',
    logLevel: 'silent',
    plugins: [leaveOut, withPage],
  })
  const inputs = Object.keys(metafile.inputs)
  const native = inputs.filter((path) => /node_modules\/koffi\/|\.node$/.test(path))
  if (native.length > 0)
    throw new Error(
      `the bundle contains native code: ${native.join(', ')}. Import it with import() where it runs, and add that file to leftOut`,
    )
  return { code: outputFiles[0]?.text ?? '', packages: packagesOf(inputs) }
}

function packagesOf(inputs: readonly string[]): readonly string[] {
  const folders = inputs.flatMap((path) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? [])
  return [...new Set(folders)].sort()
}
