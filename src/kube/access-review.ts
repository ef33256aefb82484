import type { KubeClient } from './client.ts'

/** An action to be checked. The fields are those of `spec.resourceAttributes` of a SelfSubjectAccessReview. */
interface Deed {
  readonly verb: string
  readonly resource: string
  readonly group?: string
  readonly namespace?: string
  readonly name?: string
}

/** Whether the client's user may do this. */
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
