import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join, normalize } from 'node:path'
import { parseSync, Visitor } from 'oxc-parser'

/** A source file, by what the checks ask of it. Paths begin at the repository. */
export interface Source {
  readonly path: string
  readonly text: string
  readonly program: ReturnType<typeof parseSync>['program']
  readonly imports: readonly Import[]
  readonly exports: readonly string[]
}

export interface Import {
  /** The file, or the module's name. */
  readonly of: string
  /** Of what it exports; `*`: all of it. */
  readonly names: readonly string[]
}

/** All TypeScript that is tracked, or could be. */
export function readSources(root: string): readonly Source[] {
  const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.ts'], {
    cwd: root,
    encoding: 'utf8',
  })
  const paths = listed.split('\n').filter((path) => path !== '' && existsSync(join(root, path)))
  return paths.map((path) => parseSource(path, readFileSync(join(root, path), 'utf8')))
}

/** A small tree to try a check on. */
export const sampleTree = (files: Readonly<Record<string, string>>): readonly Source[] =>
  Object.entries(files).map(([path, text]) => parseSource(path, text))

function parseSource(path: string, text: string): Source {
  const { program, module, errors } = parseSync(path, text)
  if (errors[0] !== undefined) throw new Error(`${path}: ${errors[0].message}`)
  const nameOf = (entry: { readonly kind: string; readonly name?: string | null }): string =>
    entry.kind === 'Name' ? (entry.name ?? '') : entry.kind === 'Default' ? 'default' : '*'
  const found: Import[] = [
    ...module.staticImports.map(({ moduleRequest, entries }) => ({
      of: moduleRequest.value,
      names: entries.map(({ importName }) => nameOf(importName)),
    })),
    ...module.staticExports.flatMap(({ entries }) =>
      entries.flatMap(({ moduleRequest, importName }) =>
        moduleRequest === null ? [] : [{ of: moduleRequest.value, names: [nameOf(importName)] }],
      ),
    ),
    ...lateImports(program),
  ]
  return {
    path,
    text,
    program,
    imports: found.map(({ of, names }) => ({
      of: of.startsWith('.') ? normalize(join(path, '..', of)) : of,
      names,
    })),
    exports: module.staticExports.flatMap(({ entries }) =>
      entries.map(({ exportName }) => nameOf(exportName)),
    ),
  }
}

type Node = { readonly type: string; readonly [key: string]: unknown }

/** `import('./x.ts')`, with what is taken apart of it, and `new URL('./x.ts', import.meta.url)`. */
function lateImports(program: Source['program']): readonly Import[] {
  const found: Import[] = []
  const taken = new Map<unknown, readonly string[]>()
  const textOf = (node: unknown): string | undefined => {
    const { type, value } = (node ?? {}) as Node
    return type === 'Literal' && typeof value === 'string' ? value : undefined
  }
  new Visitor({
    VariableDeclarator({ id, init }) {
      if (id.type !== 'ObjectPattern' || init?.type !== 'AwaitExpression') return
      const names = id.properties.map((each) =>
        each.type === 'Property' && each.key.type === 'Identifier' ? each.key.name : '*',
      )
      taken.set(init.argument, names)
    },
    ImportExpression(node) {
      const of = textOf(node.source)
      if (of !== undefined) found.push({ of, names: taken.get(node) ?? ['*'] })
    },
    TSImportType({ source, qualifier }) {
      const of = textOf(source)
      if (of !== undefined)
        found.push({ of, names: [qualifier?.type === 'Identifier' ? qualifier.name : '*'] })
    },
    NewExpression({ callee, arguments: [file] }) {
      const of = callee.type === 'Identifier' && callee.name === 'URL' ? textOf(file) : undefined
      if (of?.endsWith('.ts')) found.push({ of, names: ['*'] })
    },
  }).visit(program)
  return found
}

export const isTest = (path: string): boolean => path.endsWith('.test.ts')
export const isProduct = (path: string): boolean => path.startsWith('src/') && !isTest(path)
