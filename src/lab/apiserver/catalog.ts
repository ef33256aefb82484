import type { ApiObject } from './api-object.ts'
import { builtInKinds, kindOfDefinition, type ResourceKind } from './resources.ts'
import type { Store } from './store.ts'

const definitions = 'apiextensions.k8s.io/customresourcedefinitions'

/** Every kind that is served now: the built-in ones, and what definitions bring. */
export class Catalog {
  #kinds: readonly ResourceKind[] = builtInKinds

  constructor(store: Store) {
    this.#read(store.list(definitions))
    store.listen(({ resource }) => {
      if (resource === definitions) this.#read(store.list(definitions))
    })
  }

  get kinds(): readonly ResourceKind[] {
    return this.#kinds
  }

  find(group: string, version: string, plural: string): ResourceKind | undefined {
    return this.#kinds.find(
      (kind) => kind.group === group && kind.version === version && kind.plural === plural,
    )
  }

  #read(list: readonly ApiObject[]): void {
    const custom = list.map(kindOfDefinition).filter((kind) => kind !== undefined)
    this.#kinds = [...builtInKinds, ...custom]
  }
}
