import { isEstablished } from '../schema/definition-controller.ts'
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
    const custom = list
      .filter(isEstablished)
      .map(readDefinition)
      .filter((kind) => kind !== undefined)
    this.#kinds = [...builtInKinds, ...custom]
  }
}

/** A definition that an earlier release let in must not keep the server from starting. */
function readDefinition(definition: ApiObject): ResourceKind | undefined {
  try {
    return kindOfDefinition(definition)
  } catch (error) {
    console.error(`the definition ${definition.metadata.name} cannot be read: ${error}`)
    return undefined
  }
}
