/** The volumes of a pod, as far as this kubelet mounts them. Any other source is a mount that fails. */
export interface Volume {
  readonly name: string
  readonly hostPath?: HostPathSource
  readonly emptyDir?: { readonly medium?: string; readonly sizeLimit?: string }
  readonly configMap?: ObjectSource & { readonly defaultMode?: number }
  readonly secret?: Omit<ObjectSource, 'name'> & {
    readonly secretName?: string
    readonly defaultMode?: number
  }
  readonly downwardAPI?: DownwardSource & { readonly defaultMode?: number }
  readonly projected?: { readonly sources?: readonly ProjectedSource[]; readonly defaultMode?: number }
}

export interface HostPathSource {
  readonly path: string
  readonly type?: string
}

/** A ConfigMap or a Secret: all its keys, or only `items`. */
export interface ObjectSource {
  readonly name?: string
  readonly optional?: boolean
  readonly items?: readonly { readonly key: string; readonly path: string; readonly mode?: number }[]
}

export interface DownwardSource {
  readonly items?: readonly DownwardItem[]
}

export interface DownwardItem {
  readonly path: string
  readonly mode?: number
  readonly fieldRef?: { readonly fieldPath: string }
  readonly resourceFieldRef?: ResourceFieldRef
}

export interface ResourceFieldRef {
  readonly containerName?: string
  readonly resource: string
  readonly divisor?: string
}

export interface TokenSource {
  readonly path: string
  readonly audience?: string
  readonly expirationSeconds?: number
}

export interface ProjectedSource {
  readonly serviceAccountToken?: TokenSource
  readonly configMap?: ObjectSource
  readonly secret?: ObjectSource
  readonly downwardAPI?: DownwardSource
}

/** Where a container sees a volume. */
export interface VolumeMount {
  readonly name: string
  readonly mountPath: string
  readonly readOnly?: boolean
  readonly subPath?: string
  readonly subPathExpr?: string
  readonly mountPropagation?: 'None' | 'HostToContainer' | 'Bidirectional'
}
