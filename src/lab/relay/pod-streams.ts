import type { IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { request as httpRequest } from '../../runtime/http.ts'
import {
  defaultKubeletPort,
  type KubeletCall,
  kubeletPath,
  type StreamSubresource,
} from '../apiserver/http/kubelets/kubelet-streams.ts'
import { StatusError } from '../apiserver/http/status-error.ts'
import type { ApiObject } from '../apiserver/objects/api-object.ts'

interface PodStream {
  readonly namespace: string
  readonly pod: string
  readonly subresource: StreamSubresource
  readonly url: URL
}

const streamPath = /^\/api\/v1\/namespaces\/([a-z0-9.-]+)\/pods\/([a-z0-9.-]+)\/(exec|attach|log)$/

/** Undefined for any other request. The joined API server answers those. */
export function parsePodStream(path: string | undefined): PodStream | undefined {
  if (!URL.canParse(path ?? '', 'https://relay')) return undefined
  const url = new URL(path ?? '', 'https://relay')
  const [, namespace, pod, subresource] = streamPath.exec(url.pathname) ?? []
  if (namespace === undefined || pod === undefined || subresource === undefined) return undefined
  return { namespace, pod, subresource: subresource as StreamSubresource, url }
}

interface PodStreamsOptions {
  /** The socket of the relay's other half. */
  readonly socket: string
  /** The lab's admin token, which has the rights of the kubeconfig. */
  readonly adminToken: string
  readonly kubeletToken: string
  readonly addressByNode: ReadonlyMap<string, string>
}

/**
 * exec, attach and logs of pods on the lab's nodes. The joined API server cannot reach the lab's kubelets, but the relay can. The joined
 * API server still authorizes the caller.
 */
export class PodStreams {
  readonly #options: PodStreamsOptions

  constructor(options: PodStreamsOptions) {
    this.#options = options
  }

  /** Undefined if no node of the lab runs the pod. Throws if the caller is not allowed. */
  async callFor(stream: PodStream, request: IncomingMessage): Promise<KubeletCall | undefined> {
    const { addressByNode, adminToken, kubeletToken } = this.#options
    const { namespace, pod: name } = stream
    const path = `/api/v1/namespaces/${namespace}/pods/${name}`
    const answer = await this.#ask('GET', path, { authorization: [`Bearer ${adminToken}`] })
    const pod = answer.code === 200 ? (answer.body as ApiObject) : undefined
    const host = addressByNode.get(String(pod?.spec?.nodeName ?? ''))
    if (pod === undefined || host === undefined) return undefined
    await this.#authorize(stream, request)
    return {
      host,
      port: defaultKubeletPort,
      path: kubeletPath(stream.subresource, pod, stream.url),
      token: kubeletToken,
    }
  }

  /** Asks the joined API server with the caller's own credentials. */
  async #authorize({ namespace, pod, subresource }: PodStream, request: IncomingMessage): Promise<void> {
    const verb = subresource === 'log' ? 'get' : 'create'
    const isOfCaller = (header: string): boolean =>
      header === 'authorization' || header.startsWith('impersonate-')
    const caller = Object.entries(request.headersDistinct).filter(([name]) => isOfCaller(name))
    const review = {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes: { namespace, verb, resource: 'pods', subresource, name: pod } },
    }
    const path = '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews'
    const { code, body } = await this.#ask('POST', path, Object.fromEntries(caller), review)
    if (code === 401) throw new StatusError(401, 'Unauthorized', 'Unauthorized')
    if (code < 300 && (body as { status?: { allowed?: boolean } }).status?.allowed === true) return
    throw new StatusError(
      403,
      'Forbidden',
      `pods "${pod}" is forbidden: the API server that the lab joined does not let you ${verb} resource "pods/${subresource}" in the namespace "${namespace}"`,
      { kind: 'pods', name: pod },
    )
  }

  #ask(
    method: string,
    path: string,
    headers: NodeJS.Dict<string[]>,
    body?: object,
  ): Promise<{ code: number; body: unknown }> {
    return new Promise((resolve, reject) => {
      const outgoing = httpRequest({
        socketPath: this.#options.socket,
        method,
        path,
        headers: { ...headers, accept: 'application/json', 'content-type': 'application/json' },
      })
      outgoing.on('error', reject)
      outgoing.on('response', (incoming) => {
        text(incoming)
          .then((answer) =>
            resolve({ code: incoming.statusCode ?? 500, body: JSON.parse(answer) as unknown }),
          )
          .catch(reject)
      })
      outgoing.end(body === undefined ? undefined : JSON.stringify(body))
    })
  }
}
