import { join } from 'node:path'
import { credentials, loadPackageDefinition, type ServiceError, status } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'

type Method = (request: object, answered: (error: ServiceError | null, answer: object) => void) => void
type Service = new (
  address: string,
  access: ReturnType<typeof credentials.createInsecure>,
) => Record<string, Method>

/** The runtime does not know the container or the sandbox. */
export const isUnknown = (error: unknown): boolean => (error as ServiceError).code === status.NOT_FOUND

export const isTimeout = (error: unknown): boolean =>
  (error as ServiceError).code === status.DEADLINE_EXCEEDED

/** Calls of the Container Runtime Interface, as runtime.proto has them, over the runtime's socket. */
export class RuntimeClient {
  readonly #services: readonly Record<string, Method>[]

  constructor(socket: string) {
    const definition = loadSync(join(import.meta.dirname, 'runtime.proto'), {
      keepCase: true,
      longs: Number,
      enums: String,
      defaults: true,
    })
    const loaded = loadPackageDefinition(definition) as unknown as {
      runtime: { v1: { RuntimeService: Service; ImageService: Service } }
    }
    const { RuntimeService, ImageService } = loaded.runtime.v1
    this.#services = [RuntimeService, ImageService].map(
      (service) => new service(`unix://${socket}`, credentials.createInsecure()),
    )
  }

  /** Throws with the runtime's own words. */
  call<Answer>(method: string, request: object): Promise<Answer> {
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const service = this.#services.find((each) => typeof each[method] === 'function')
    if (service === undefined) throw new Error(`runtime.proto has no method ${method}`)
    service[method]?.(request, (error, answer) => {
      if (error === null) return resolve(answer as Answer)
      reject(Object.assign(new Error(error.details, { cause: error }), { code: error.code }))
    })
    return promise
  }
}
