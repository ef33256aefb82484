import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Access } from '../access/access.ts'
import type { Catalog } from '../objects/catalog.ts'
import type { Lifecycle } from '../objects/lifecycle.ts'
import type { Store } from '../objects/store.ts'
import type { Target } from './request.ts'

/** The parts of the server that an answer needs. */
export interface Cluster {
  readonly store: Store
  readonly catalog: Catalog
  readonly access: Access
  readonly lifecycle: Lifecycle
  readonly bookmarkEveryMs: number
}

/** An authorized request for an object or a collection. */
export interface Call {
  readonly cluster: Cluster
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly url: URL
  readonly target: Target
}

export type ObjectCall = Call & { readonly target: Target & { readonly name: string } }
