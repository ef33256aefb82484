import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream'
import { StatusError, statusBody } from '../apiserver/http/status-error.ts'
import { forwardedHeaders } from './credentials.ts'

/** Passes a request on and its answer back, each as it comes: watches never end. */
export function passRequest(
  outgoing: ClientRequest,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  outgoing.on('error', (error) => sendRefusal(response, unanswered(error)))
  outgoing.on('response', (incoming) => {
    response.writeHead(incoming.statusCode ?? 502, answerHeaders(incoming))
    response.flushHeaders()
    /* Where the answer is cut off, so is what was passed on of it: half an answer must not look like a whole one. */
    pipeline(incoming, response, () => {})
  })
  response.on('close', () => {
    if (!response.writableFinished) outgoing.destroy()
  })
  pipeline(request, outgoing, () => {})
}

/** Node.js frames the answer anew. */
function answerHeaders(incoming: IncomingMessage): Record<string, string[]> {
  const { 'transfer-encoding': _, ...headers } = forwardedHeaders(incoming.headersDistinct, false)
  return headers
}

export function unanswered(error: Error): StatusError {
  return new StatusError(
    503,
    'ServiceUnavailable',
    `the relay of the lab has no answer from the API server that it joined: ${error.message}`,
  )
}

export function sendRefusal(response: ServerResponse, error: StatusError): void {
  if (response.headersSent) {
    response.destroy()
    return
  }
  const body = JSON.stringify(statusBody(error))
  response.writeHead(error.code, { 'content-type': 'application/json', connection: 'close' }).end(body)
}
