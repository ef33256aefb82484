import { readFileSync } from 'node:fs'

/** The credentials of a process of the lab. `streamToken` is the API server's token for kubelets. */
export interface Credentials {
  readonly ca: string
  readonly token: string
  readonly streamToken: string
}

/** Reads the credentials from standard input. */
export function readCredentials(): Credentials {
  return JSON.parse(readFileSync(0, 'utf8')) as Credentials
}
