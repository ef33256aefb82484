/** The version of this package, its image and its manifests. */
export const version = '0.1.0'
