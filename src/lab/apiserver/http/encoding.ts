import type { ServerResponse } from 'node:http'
import type { ApiObject } from '../objects/api-object.ts'

const texts = new WeakMap<object, string>()

/**
 * The JSON of an object that nobody changes any more. Encoded once, however many watches, lists and the log tell it.
 */
export function encodeObject(object: ApiObject): string {
  const known = texts.get(object)
  if (known !== undefined) return known
  const text = JSON.stringify(object)
  texts.set(object, text)
  return text
}

const itemTexts = new WeakMap<object, string>()

/** The same without the names of its kind, as built-in kinds stand in lists: Go writes them once, at the list. */
export function encodeItem(object: ApiObject): string {
  const known = itemTexts.get(object)
  if (known !== undefined) return known
  const { apiVersion: _, kind: __, ...item } = object
  const text = JSON.stringify(item)
  itemTexts.set(object, text)
  return text
}

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
