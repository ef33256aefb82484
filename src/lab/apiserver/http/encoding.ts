import type { ServerResponse } from 'node:http'
import type { ApiObject } from '../objects/api-object.ts'

/** Encodes an object once, however many watches and lists send it. Objects of the store never change. */
function oncePerObject(encode: (object: ApiObject) => string): (object: ApiObject) => string {
  const texts = new WeakMap<ApiObject, string>()
  return (object) => {
    const text = texts.get(object) ?? encode(object)
    texts.set(object, text)
    return text
  }
}

export const encodeObject = oncePerObject((object) => JSON.stringify(object))

/** Leaves out the names of the kind, as lists of built-in kinds do: Go writes them once, at the list. */
export const encodeItem = oncePerObject(({ apiVersion: _, kind: __, ...item }) => JSON.stringify(item))

export function sendText(
  response: ServerResponse,
  code: number,
  text: string,
  type = 'application/json',
): void {
  response.writeHead(code, { 'content-type': type }).end(text)
}

export function send(response: ServerResponse, code: number, body: object, type = 'application/json'): void {
  sendText(response, code, JSON.stringify(body), type)
}
