import { type ApiObject, isObject, type JsonObject } from '../objects/api-object.ts'
import type { Column, ResourceKind } from '../objects/resources.ts'
import { nameColumn, type Printer, since } from './cells.ts'
import { printerOf } from './printers.ts'

function customPrinter(columns: readonly Column[]): Printer {
  return {
    columns: [
      nameColumn,
      ...columns.map((each) => ({
        ...each,
        description: each.description ?? '',
        format: each.format ?? '',
        priority: each.priority ?? 0,
      })),
    ],
    cells: (object, now) => [
      object.metadata.name,
      ...columns.map(({ jsonPath, type }) => {
        const value = readJsonPath(object, jsonPath)
        if (value === undefined || value === null) return null
        if (type === 'date') return since(value, now)
        /* An API server prints a list in a column of text as JSON. */
        return type === 'string' && typeof value === 'object' ? JSON.stringify(value) : value
      }),
    ],
  }
}

/** The subset of JSONPath that printer columns use: fields, indexes and one filter by equality. */
export function readJsonPath(object: unknown, path: string): unknown {
  let value = object
  for (const [, field, index, filterField, filterValue] of path.matchAll(
    /\.([\w-]+)|\[(\d+)\]|\[\?\(@\.(\w+)\s*==\s*["']([^"']*)["']\)\]/g,
  )) {
    if (field !== undefined) value = isObject(value) ? value[field] : undefined
    else if (index !== undefined) value = Array.isArray(value) ? value[Number(index)] : undefined
    else
      value = Array.isArray(value)
        ? value.find((item) => (item as JsonObject)[filterField ?? ''] === filterValue)
        : undefined
  }
  return value
}

/** `includeObject` is how much of each object is sent with its row. kubectl computes labels and namespaces from it. */
export function renderTable(
  kind: ResourceKind,
  objects: readonly ApiObject[],
  listMetadata: object,
  includeObject: string,
  nowMs: number,
): object {
  const printer = kind.custom === undefined ? printerOf(kind.kind) : customPrinter(kind.custom.columns)
  return {
    kind: 'Table',
    apiVersion: 'meta.k8s.io/v1',
    metadata: listMetadata,
    columnDefinitions: printer.columns.map(({ name, type, format = '', description = '', priority = 0 }) => ({
      name,
      type,
      format,
      description,
      priority,
    })),
    rows: objects.map((object) => ({
      cells: printer.cells(object, nowMs),
      object:
        includeObject === 'Object'
          ? object
          : { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata: object.metadata },
    })),
  }
}
