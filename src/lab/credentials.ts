import { readFileSync } from 'node:fs'

/** What a process of the lab says to its API server, and what that must say to a kubelet. */
export interface Credentials {
  readonly ca: string
  readonly token: string
  readonly streamToken: string
}

/** Given to a process on its standard input, as a file. */
export function readCredentials(): Credentials {
  return JSON.parse(readFileSync(0, 'utf8')) as Credentials
}
