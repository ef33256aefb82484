/** A time as Kubernetes writes it into objects: RFC 3339, UTC, whole seconds (metav1.Time). */
export function timestamp(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+/, '')
}
