import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { renderCrds } from '../../src/api/crd.ts'
import type { KubeObject, ResourceName } from '../../src/kube/client.ts'
import { Access } from '../../src/lab/apiserver/access/access.ts'
import { ApiServer } from '../../src/lab/apiserver/http/server.ts'
import type { ApiObject } from '../../src/lab/apiserver/objects/api-object.ts'
import { bootstrap } from '../../src/lab/apiserver/objects/bootstrap.ts'
import { Store } from '../../src/lab/apiserver/objects/store.ts'
import { ApiExchange, type ApiRequest } from './api-exchange.ts'

export const adminToken = 'admin'
const bookmarkEveryMs = 60_000

export interface ApiAnswer {
  readonly code: number
  readonly headers: Readonly<Record<string, string>>
  readonly text: string
}

/**
 * The embedded API server with its store, rules and watches, without sockets. What a test does as an administrator goes straight to
 * it; what agents and operators ask comes through ApiLink, with all that can happen on the way.
 */
export class SimulatedApi {
  readonly store: Store
  readonly #server: ApiServer

  constructor(directory: string) {
    mkdirSync(directory, { recursive: true })
    const tokens = join(directory, 'tokens.csv')
    writeFileSync(tokens, `${adminToken},admin,1,"system:masters"\n`)
    this.store = new Store(join(directory, 'data'))
    bootstrap(this.store)
    this.#server = new ApiServer(this.store, new Access(this.store, directory, tokens), '', bookmarkEveryMs)
  }

  /** The kinds of the product. They are served a moment later. */
  async install(): Promise<void> {
    for (const definition of renderCrds() as KubeObject[])
      await this.ask('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', definition)
  }

  serve(request: ApiRequest, on: ConstructorParameters<typeof ApiExchange>[1]): ApiExchange {
    const exchange = new ApiExchange(request, on)
    void this.#server.handle(exchange.request, exchange.response)
    return exchange
  }

  /** As an administrator, at once and without fail; throws what the server refuses. */
  ask(method: string, path: string, body?: unknown, type = 'application/json'): Promise<ApiAnswer> {
    const headers = { authorization: `Bearer ${adminToken}`, 'content-type': type, 'user-agent': 'kubectl' }
    let code = 0
    let text = ''
    return new Promise((resolve, reject) => {
      const request = {
        method,
        path,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
      }
      this.serve(request, {
        head: (given) => {
          code = given
        },
        text: (more) => {
          text += more
        },
        end: () =>
          code < 300
            ? resolve({ code, headers: {}, text })
            : reject(new Error(`${method} ${path}: ${code} ${text}`)),
      })
    })
  }

  /** Of one kind, as the API server has them now. */
  objects<T extends ApiObject>({ group, plural }: Pick<ResourceName, 'group' | 'plural'>): readonly T[] {
    return this.store.list(`${group}/${plural}`) as readonly T[]
  }
}
