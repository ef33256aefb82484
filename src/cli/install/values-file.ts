import { readFileSync } from 'node:fs'
import { type Document, isAlias, isMap, isNode, isScalar, isSeq, type ParsedNode, parseDocument } from 'yaml'
import type { Assignment } from '../../install/settings/assignments.ts'
import { isStructuredPath, settings } from '../../install/settings/settings.ts'
import { Complaint } from '../user-error.ts'

/** Settings in a file: `a: {b: c}` is `--set a.b=c`. Texts are kept as they are written: a tag 1.10 is not 1.1. */
export function readValues(path: string): readonly Assignment[] {
  const document = parseDocument(readText(path))
  const [error] = document.errors
  if (error !== undefined) throw new Complaint(`${path} is no YAML: ${error.message}`, 2)
  const { contents } = document
  if (contents === null || (isScalar(contents) && contents.value === null)) return []
  if (!isMap(contents)) throw new Complaint(`${path} has no settings: write one a line, as in "mtu: 1400"`, 2)
  return flatten(contents, '', document)
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new Complaint(`cannot read ${path}: ${error instanceof Error ? error.message : String(error)}`, 2)
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
  /* A setting without a value is not set; one that does not exist is a mistake all the same. */
  const isKnown = settings.some((each) => each.path === path || each.path.startsWith(`${path}.`))
  return value === undefined && isKnown ? [] : [[path, value]]
}

/** As it is written; undefined for nothing. */
function textOf(node: unknown): string | undefined {
  if (!isScalar(node) || node.value === null) return undefined
  return typeof node.value === 'string' ? node.value : (node.source ?? String(node.value))
}
