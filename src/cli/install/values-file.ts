import { readFileSync } from 'node:fs'
import { type Document, isAlias, isMap, isNode, isScalar, isSeq, type ParsedNode, parseDocument } from 'yaml'
import type { Assignment } from '../../install/settings/assignments.ts'
import { isStructuredPath, settings } from '../../install/settings/settings.ts'
import { UserError } from '../user-error.ts'

/** Settings from a file: `a: {b: c}` means `--set a.b=c`. Values stay as they are written: a tag 1.10 does not become 1.1. */
export function readValues(path: string): readonly Assignment[] {
  const document = parseDocument(readText(path))
  const [error] = document.errors
  if (error !== undefined) throw new UserError(`${path} is not valid YAML: ${error.message}`, 2)
  const { contents } = document
  if (contents === null || (isScalar(contents) && contents.value === null)) return []
  if (!isMap(contents))
    throw new UserError(`${path} has no settings. Write one per line, for example "mtu: 1400"`, 2)
  return flatten(contents, '', document)
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new UserError(`cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`, 2)
  }
}

function flatten(node: unknown, path: string, document: Document.Parsed): Assignment[] {
  if (isAlias(node)) return flatten(node.resolve(document), path, document)
  if (isStructuredPath(path) && isNode(node)) {
    const value: unknown = node.toJS(document)
    return value === null ? [] : [[path, JSON.stringify(value)]]
  }
  if (isMap<ParsedNode>(node))
    return node.items.flatMap(({ key, value }) => {
      const name = textOf(key) ?? ''
      return flatten(value, path === '' ? name : `${path}.${name}`, document)
    })
  if (isSeq(node)) return [[path, node.items.flatMap((item) => textOf(item) ?? []).join(',')]]
  const value = textOf(node)
  /* A known setting without a value counts as absent. An unknown one is an error even without a value. */
  const isKnown = settings.some((each) => each.path === path || each.path.startsWith(`${path}.`))
  return value === undefined && isKnown ? [] : [[path, value]]
}

/** The scalar as it is written in the file. Undefined for null. */
function textOf(node: unknown): string | undefined {
  if (!isScalar(node) || node.value === null) return undefined
  return typeof node.value === 'string' ? node.value : (node.source ?? String(node.value))
}
