import type { Fields } from './differences.ts'
import type { RecordedAnswer } from './recording.ts'

/** What is compared of the answers of a file, where that is not everything. */
export const views: Readonly<Record<string, (answer: RecordedAnswer) => RecordedAnswer>> = {
  apply: withoutControllers,
}

const controllers = /^(kube-controller-manager|controllers|lab-controllers)$/
const revision = 'deployment.kubernetes.io/revision'

/** The status of a Deployment and its revision are its controller's, and this file is about who applies what. */
function withoutControllers(answer: RecordedAnswer): RecordedAnswer {
  const body = answer.body as Fields
  if (body?.kind !== 'Deployment') return answer
  const { status: _, ...rest } = body
  const metadata = body.metadata as Fields
  const { [revision]: __, ...annotations } = (metadata.annotations ?? {}) as Fields
  const managedFields = ((metadata.managedFields ?? []) as Fields[]).filter(
    ({ manager }) => !controllers.test(String(manager)),
  )
  const { annotations: ___, ...others } = metadata
  return {
    ...answer,
    body: {
      ...rest,
      metadata: {
        ...others,
        managedFields,
        ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
      },
    },
  }
}
