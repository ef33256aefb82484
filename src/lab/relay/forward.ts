import type { ClientRequest, IncomingMessage, ServerResponse } from 'node:http'
import { pipeline } from 'node:stream'
import { StatusError, statusBody } from '../apiserver/http/status-error.ts'
import { forwardedHeaders } from './credentials.ts'

/** Forwards a request and its answer as streams, because watches never end. */
export function passRequest(
  outgoing: ClientRequest,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  outgoing.on('error', (error) => sendRefusal(response, unanswered(error)))
  outgoing.on('response', (incoming) => {
    response.writeHead(incoming.statusCode ?? 502, answerHeaders(incoming))
    response.flushHeaders()
    /* If the answer is cut off, the forwarded one is too, so that it does not look complete. */
    pipeline(incoming, response, () => {})
  })
  response.on('close', () => {
    if (!response.writableFinished) outgoing.destroy()
  })
  pipeline(request, outgoing, () => {})
}

/** Without transfer-encoding, because Node.js encodes the answer itself. */
function answerHeaders(incoming: IncomingMessage): Record<string, string[]> {
  const { 'transfer-encoding': _, ...headers } = forwardedHeaders(incoming.headersDistinct, false)
  return headers
}

export function unanswered(error: Error): StatusError {
  return new StatusError(
    503,
    'ServiceUnavailable',
    `the API server that the lab joined does not answer: ${error.message}`,
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
