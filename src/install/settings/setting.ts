/** A line of the table of settings. */
export interface Setting {
  /** As `--set` has it. */
  readonly path: string
  /** As the ConfigMap has it, and `config view` prints it. */
  readonly key: string
  readonly kind: Kind
  readonly fallback: string
  readonly help: string
  /** Only these values are taken. */
  readonly choices?: readonly string[]
  /** Of an integer. */
  readonly range?: readonly [number, number]
  readonly isPowerOfTwo?: boolean
  /** Keys of a map that a user must not set. */
  readonly reserved?: readonly string[]
}

/** The last three are written as JSON. */
export type Kind = 'boolean' | 'integer' | 'duration' | 'word' | 'path' | 'list' | 'cidrs' | Structure
export type Structure = 'map' | 'object' | 'objects'

export const isStructured = (kind: Kind): kind is Structure =>
  kind === 'map' || kind === 'object' || kind === 'objects'
