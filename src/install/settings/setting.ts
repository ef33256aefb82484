/** A setting of an install. */
export interface Setting {
  /** Its name in `--set` and in values.yaml. */
  readonly path: string
  /** Its name in the ConfigMap and in `config view`. */
  readonly key: string
  readonly kind: Kind
  readonly fallback: string
  readonly help: string
  /** The only accepted values. */
  readonly choices?: readonly string[]
  /** The minimum and maximum of an integer. */
  readonly range?: readonly [number, number]
  readonly isPowerOfTwo?: boolean
  /** What breaks if it changes after the install, as a sentence. */
  readonly costOfChange?: string
  /** The default of earlier versions. An upgrade keeps it, because somebody may have chosen it, and says so. */
  readonly earlierFallback?: string
  /** Keys of a map that the user must not set. */
  readonly reserved?: readonly string[]
}

/** The last three are written as JSON. */
type Kind =
  | 'boolean'
  | 'integer'
  | 'duration'
  | 'word'
  | 'path'
  | 'endpoint'
  | 'list'
  | 'cidrs'
  | 'portRange'
  | 'portRanges'
  | Structure
type Structure = 'map' | 'object' | 'objects'

export const isStructured = (kind: Kind): kind is Structure =>
  kind === 'map' || kind === 'object' || kind === 'objects'
