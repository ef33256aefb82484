import type { KubeClient } from './client.ts'

/** What somebody wants to do; fields as in `spec.resourceAttributes` of a SelfSubjectAccessReview. */
interface Deed {
  readonly verb: string
  readonly resource: string
  readonly group?: string
  readonly namespace?: string
  readonly name?: string
}

/** May whoever the client speaks for do this? */
export async function isAllowed(client: KubeClient, resourceAttributes: Deed): Promise<boolean> {
  const review = (await client.json({
    method: 'POST',
    path: '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews',
    body: {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SelfSubjectAccessReview',
      spec: { resourceAttributes },
    },
  })) as { readonly status?: { readonly allowed?: boolean } }
  return review.status?.allowed === true
}
