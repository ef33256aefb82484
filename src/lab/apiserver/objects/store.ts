import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { replaceFile } from '../../../runtime/replace-file.ts'
import { encodeObject } from '../http/encoding.ts'
import type { ApiObject } from './api-object.ts'

export interface Change {
  readonly version: number
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  /** `group/plural` */
  readonly resource: string
  readonly object: ApiObject
  /** The object before the change. Missing for ADDED. */
  readonly previous?: ApiObject
}

/** How many changes a watch can go back. An older version is "too old", and the client must relist. */
const rememberedChanges = 20_000
const compactAfterBytes = 64 << 20

/**
 * All objects, in memory, with a log on disk. A change counts when its line is written: that survives the death of this
 * process at any moment. It does not survive a power cut (there is no fsync), which for a lab is of no interest.
 */
export class Store {
  readonly #objects = new Map<string, Map<string, ApiObject>>()
  readonly #listeners = new Set<(change: Change) => void>()
  readonly #directory: string
  #history: Change[] = []
  #version = 1
  #log = -1
  #logBytes = 0

  constructor(directory: string) {
    this.#directory = directory
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    this.#recover()
    this.#compact()
  }

  get version(): number {
    return this.#version
  }

  /** The version of the oldest change that a watch can still get. */
  get oldestVersion(): number {
    return this.#history[0]?.version ?? this.#version + 1
  }

  get(resource: string, key: string): ApiObject | undefined {
    return this.#objects.get(resource)?.get(key)
  }

  /** In no order and without a copy, for callers that read all objects. */
  values(resource: string): Iterable<ApiObject> {
    return this.#objects.get(resource)?.values() ?? []
  }

  /** In the order of their keys. */
  list(resource: string): readonly ApiObject[] {
    return inOrder(this.#objects.get(resource) ?? new Map<string, ApiObject>())
  }

  /** The list as of that version, made by undoing later changes. Undefined if that version is too old. */
  listAt(resource: string, version: number): readonly ApiObject[] | undefined {
    if (version === this.#version) return this.list(resource)
    if (version + 1 < this.oldestVersion || version > this.#version) return undefined
    const objects = new Map(this.#objects.get(resource))
    for (const { object, previous, ...change } of this.changesSince(version).toReversed()) {
      if (change.resource !== resource) continue
      if (previous === undefined) objects.delete(keyOf(object))
      else objects.set(keyOf(object), previous)
    }
    return inOrder(objects)
  }

  resources(): readonly string[] {
    return [...this.#objects.keys()]
  }

  changesSince(version: number): readonly Change[] {
    const first = this.#history.findIndex((change) => change.version > version)
    return first < 0 ? [] : this.#history.slice(first)
  }

  /** Called for every change, after it is written. Returns the way to stop. */
  listen(listener: (change: Change) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Gives the object its new resourceVersion and keeps it. */
  put(resource: string, key: string, object: ApiObject): ApiObject {
    const previous = this.get(resource, key)
    const version = this.#version + 1
    const stored = { ...object, metadata: { ...object.metadata, resourceVersion: String(version) } }
    this.#commit({
      version,
      resource,
      type: previous === undefined ? 'ADDED' : 'MODIFIED',
      object: stored,
      ...(previous === undefined ? {} : { previous }),
    })
    return stored
  }

  delete(resource: string, key: string): ApiObject | undefined {
    const previous = this.get(resource, key)
    if (previous === undefined) return undefined
    const version = this.#version + 1
    const object = { ...previous, metadata: { ...previous.metadata, resourceVersion: String(version) } }
    this.#commit({ version, resource, type: 'DELETED', object, previous })
    return object
  }

  #commit(change: Change): void {
    const { object, previous: _, ...rest } = change
    const line = `${JSON.stringify(rest).slice(0, -1)},"object":${encodeObject(object)}}\n`
    writeSync(this.#log, line)
    this.#logBytes += line.length
    this.#remember(change)
    for (const listener of this.#listeners) listener(change)
    if (this.#logBytes > compactAfterBytes) this.#compact()
  }

  #remember(change: Change): void {
    this.#version = change.version
    const objects = this.#objects.get(change.resource) ?? new Map<string, ApiObject>()
    this.#objects.set(change.resource, objects)
    const key = keyOf(change.object)
    if (change.type === 'DELETED') objects.delete(key)
    else objects.set(key, change.object)
    this.#history.push(change)
    if (this.#history.length > rememberedChanges * 1.5)
      this.#history = this.#history.slice(-rememberedChanges)
  }

  /** Reads the snapshot and then the log. An incomplete last line was never acknowledged. */
  #recover(): void {
    const snapshot = join(this.#directory, 'snapshot.json')
    if (existsSync(snapshot)) {
      const { version, objects } = JSON.parse(readFileSync(snapshot, 'utf8')) as {
        version: number
        objects: [string, ApiObject[]][]
      }
      this.#version = version
      for (const [resource, list] of objects)
        this.#objects.set(resource, new Map(list.map((object) => [keyOf(object), object])))
    }
    const log = join(this.#directory, 'log.jsonl')
    if (!existsSync(log)) return
    for (const line of readFileSync(log, 'utf8').split('\n')) {
      const record = parseRecord(line)
      if (record === undefined || record.version <= this.#version) continue
      const previous = this.get(record.resource, keyOf(record.object))
      this.#remember(previous === undefined ? record : { ...record, previous })
    }
  }

  #compact(): void {
    const snapshot = join(this.#directory, 'snapshot.json')
    const log = join(this.#directory, 'log.jsonl')
    const objects = [...this.#objects].map(([resource, list]) => [resource, [...list.values()]])
    replaceFile(snapshot, JSON.stringify({ version: this.#version, objects }))
    if (this.#log >= 0) closeSync(this.#log)
    writeFileSync(log, '')
    this.#log = openSync(log, 'a')
    this.#logBytes = 0
  }
}

function inOrder(objects: ReadonlyMap<string, ApiObject>): ApiObject[] {
  return [...objects].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object)
}

export function keyOf({ metadata: { namespace, name } }: ApiObject): string {
  return namespace === undefined ? name : `${namespace}/${name}`
}

function parseRecord(line: string): Change | undefined {
  try {
    return JSON.parse(line) as Change
  } catch {
    return undefined
  }
}
