import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { parseAllDocuments } from 'yaml'
import { readAccess } from '../../cli/cluster.ts'
import { formatColumns } from '../../cli/columns.ts'
import { KubeClient, type KubeObject } from '../../kube/client.ts'
import { isNotFound } from '../../kube/kube-error.ts'
import { leaveWithReader } from '../../runtime/closed-pipe.ts'
import { execInPod } from './exec.ts'
import { discover, type FoundKind, findKind, nameOf } from './kinds.ts'

leaveWithReader()

/**
 * Stands in for kubectl in a lab on a machine that has none, or one that is too old for exec over WebSockets: the verbs
 * that the walkthrough uses, with its flags and answers. For anything else, install the real one.
 */
const access = await readAccess()
const client = new KubeClient(access, { userAgent: 'stand-in-kubectl' })
const kinds = await discover(client)
const print = (text: string): void => void process.stdout.write(`${text}\n`)
const resourceOf = (kind: FoundKind) => client.resource<KubeObject & { spec?: Record<string, unknown> }>(kind)

interface Table {
  readonly columnDefinitions: readonly { readonly name: string; readonly priority: number }[]
  readonly rows: readonly { readonly cells: readonly unknown[]; readonly object: KubeObject }[]
}

const kubectl = new Command('kubectl')
  .description('the verbs of kubectl that a walkthrough in the lab needs')
  .option('-n, --namespace <namespace>', 'where to look', 'default')
  .enablePositionalOptions()
  .showHelpAfterError()
const namespaceOf = (kind: FoundKind): string | undefined =>
  kind.isNamespaced ? (kubectl.opts().namespace as string) : undefined

/** `pod xwing`, `pod/xwing`, or the kind alone. */
function parseTarget(words: readonly string[]): { kind: FoundKind; name: string | undefined } {
  const [first = '', second] = words
  const [word = '', name = second] = first.split('/')
  return { kind: findKind(kinds, word), name }
}

interface GetOptions {
  readonly output?: string
  readonly selector?: string
  readonly fieldSelector?: string
  readonly showLabels?: boolean
}

kubectl
  .command('get <words...>')
  .description('show objects')
  .option('-o, --output <format>', 'wide, name or json')
  .option('-l, --selector <labels>')
  .option('--field-selector <fields>')
  .option('--show-labels')
  .action(async (words: string[], options: GetOptions) => {
    const { kind, name } = parseTarget(words)
    const path = resourceOf(kind).path(namespaceOf(kind), name)
    const query = { labelSelector: options.selector, fieldSelector: options.fieldSelector }
    if (options.output === 'json')
      return print(JSON.stringify(await client.json({ method: 'GET', path, query }), null, 4))
    const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io'
    const table = (await client.json({ method: 'GET', path, query, accept })) as Table
    if (options.output === 'name')
      return print(table.rows.map(({ object }) => nameOf(kind, object.metadata.name)).join('\n'))
    if (table.rows.length === 0) return void process.stderr.write('No resources found\n')
    print(renderTable(table, options))
  })

function renderTable({ columnDefinitions, rows }: Table, { output, showLabels }: GetOptions): string {
  const shown = columnDefinitions.flatMap(({ priority }, index) =>
    priority === 0 || output === 'wide' ? [index] : [],
  )
  const labels = ({ metadata: { labels = {} } }: KubeObject): string =>
    Object.entries(labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(',') || '<none>'
  return formatColumns([
    [
      ...shown.map((index) => columnDefinitions[index]?.name.toUpperCase() ?? ''),
      ...(showLabels ? ['LABELS'] : []),
    ],
    ...rows.map(({ cells, object }) => [
      ...shown.map((index) => String(cells[index] ?? '')),
      ...(showLabels ? [labels(object)] : []),
    ]),
  ])
}

kubectl
  .command('label <words...>')
  .description('set labels, or remove them with a trailing dash')
  .option('--overwrite')
  .action(async (words: string[]) => {
    const pairs = words.filter((word, index) => index > 0 && (word.includes('=') || word.endsWith('-')))
    const { kind, name = '' } = parseTarget(words.filter((word) => !pairs.includes(word)))
    const labels = Object.fromEntries(
      pairs.map((pair) => (pair.endsWith('-') ? [pair.slice(0, -1), null] : pair.split('=', 2))),
    )
    await resourceOf(kind).patch(name, 'merge', { metadata: { labels } }, withNamespace(kind))
    print(`${nameOf(kind, name)} ${pairs.every((pair) => pair.endsWith('-')) ? 'unlabeled' : 'labeled'}`)
  })

function withNamespace(kind: FoundKind): { readonly namespace?: string; readonly fieldManager: string } {
  const namespace = namespaceOf(kind)
  return { fieldManager: 'kubectl', ...(namespace === undefined ? {} : { namespace }) }
}

kubectl
  .command('taint <words...>')
  .description('keep pods off a node: key[=value]:effect, removed with a trailing dash')
  .action(async ([node = '', name = '', ...taints]: string[]) => {
    const kind = findKind(kinds, node)
    const object = await resourceOf(kind).get(name)
    const before = (object.spec?.taints ?? []) as { key: string; effect: string }[]
    const parsed = taints.map((text) => {
      const [, key = '', value, effect = '', minus] = /^([^=:]+)(?:=([^:]*))?:(\w+)(-?)$/.exec(text) ?? []
      return { key, effect, isRemoval: minus === '-', ...(value === undefined ? {} : { value }) }
    })
    const kept = before.filter(
      ({ key, effect }) => !parsed.some((each) => each.key === key && each.effect === effect),
    )
    const added = parsed.filter(({ isRemoval }) => !isRemoval).map(({ isRemoval: _, ...taint }) => taint)
    await resourceOf(kind).patch(
      name,
      'merge',
      { spec: { taints: [...kept, ...added] } },
      { fieldManager: 'kubectl' },
    )
    print(`${nameOf(kind, name)} ${added.length > 0 ? 'tainted' : 'untainted'}`)
  })

kubectl
  .command('run <name>')
  .description('start a pod')
  .requiredOption('--image <image>')
  .option('--labels <labels>', 'key=value,key=value')
  .action(async (name: string, { image, labels = `run=${name}` }: { image: string; labels?: string }) => {
    const kind = findKind(kinds, 'pods')
    const metadata = {
      name,
      namespace: kubectl.opts().namespace,
      labels: Object.fromEntries(labels.split(',').map((pair) => pair.split('=', 2))),
    }
    const pod = { apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: [{ name, image }] } }
    await resourceOf(kind).create(pod as unknown as KubeObject, { fieldManager: 'kubectl' })
    print(`pod/${name} created`)
  })

kubectl
  .command('apply')
  .description('make objects be as a file says')
  .requiredOption('-f, --filename <file>', '- for standard input')
  .action(async ({ filename }: { filename: string }) => {
    const text = readFileSync(filename === '-' ? 0 : filename, 'utf8')
    for (const document of parseAllDocuments(text)) {
      const object = document.toJS() as KubeObject & { apiVersion: string; kind: string }
      const kind = kinds.find((each) => each.kind === object.kind && object.apiVersion.startsWith(each.group))
      if (kind === undefined)
        throw new Error(`no matches for kind "${object.kind}" in version "${object.apiVersion}"`)
      const { name } = object.metadata
      const before = await resourceOf(kind)
        .get(name, namespaceOf(kind))
        .catch((error: unknown) => {
          if (isNotFound(error)) return undefined
          throw error
        })
      const after = await resourceOf(kind).apply(object, { ...withNamespace(kind), force: true })
      const isSame = before?.metadata.resourceVersion === after.metadata.resourceVersion
      print(`${nameOf(kind, name)} ${before === undefined ? 'created' : isSame ? 'unchanged' : 'configured'}`)
    }
  })

kubectl
  .command('delete <words...>')
  .description('delete an object')
  .action(async (words: string[]) => {
    const { kind, name = '' } = parseTarget(words)
    const namespace = namespaceOf(kind)
    await resourceOf(kind).delete(name, namespace === undefined ? {} : { namespace })
    print(`${nameOf(kind, name).replace('/', ' "')}" deleted`)
  })

kubectl
  .command('exec <pod> [command...]')
  .description('run a command in a pod')
  .option('-i, --stdin')
  .option('-t, --tty')
  .option('-c, --container <container>')
  .passThroughOptions()
  .action(
    async (
      pod: string,
      command: string[],
      options: { stdin?: boolean; tty?: boolean; container?: string },
    ) => {
      const { words, container } = splitCommand(command, options.container)
      const path = resourceOf(findKind(kinds, 'pods')).path(
        kubectl.opts().namespace,
        pod.replace(/^pods?\//, ''),
      )
      const hasStdin = options.stdin ?? false
      const hasTty = (options.tty ?? false) && process.stdin.isTTY === true
      process.exitCode = await execInPod(access, path, words, {
        container,
        hasStdin,
        hasTty,
      })
    },
  )

/** `-c NAME` may stand behind the pod, too; the command begins after the two dashes. */
function splitCommand(command: readonly string[], given: string | undefined) {
  const hasContainer = command[0] === '-c'
  const rest = hasContainer ? command.slice(2) : command
  return { container: hasContainer ? command[1] : given, words: rest[0] === '--' ? rest.slice(1) : rest }
}

try {
  await kubectl.parseAsync()
} catch (error) {
  console.error(error instanceof Error ? `Error: ${error.message}` : error)
  process.exitCode = 1
}
await client[Symbol.asyncDispose]()
