import type { Fields } from './differences.ts'
import type { RecordedAnswer } from './recording.ts'

/** What is compared of the answers of a file, where that is not everything. */
export const views: Readonly<Record<string, (answer: RecordedAnswer) => RecordedAnswer>> = {
  apply: withoutControllers,
  reads: asTablesAreRead,
}

const controllers = 'kube-controller-manager'
const revision = 'deployment.kubernetes.io/revision'

/** The status of a Deployment and its revision are its controller's, and this file is about who applies what. */
function withoutControllers(answer: RecordedAnswer): RecordedAnswer {
  const body = answer.body as Fields
  if (body?.kind !== 'Deployment') return answer
  const { status: _, ...rest } = body
  const metadata = body.metadata as Fields
  const { [revision]: __, ...annotations } = (metadata.annotations ?? {}) as Fields
  const managedFields = ((metadata.managedFields ?? []) as Fields[]).filter(
    ({ manager }) => manager !== controllers,
  )
  // Its controller may write between two requests, or not.
  const { annotations: ___, resourceVersion: ____, ...others } = metadata
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

const age = /^(\d+[smhdy])+$/

/** Of tables: what a column says of itself is shown by nobody, and how old an object is depends on the run. */
function asTablesAreRead(answer: RecordedAnswer): RecordedAnswer {
  const { body } = answer
  if (Array.isArray(body))
    return { ...answer, body: body.map((event: Fields) => ({ ...event, object: plainTable(event.object) })) }
  return { ...answer, body: plainTable(body) }
}

function plainTable(body: unknown): unknown {
  const { kind, columnDefinitions, rows } = (body ?? {}) as Fields
  if (kind !== 'Table') return body
  return {
    ...(body as Fields),
    ...(Array.isArray(columnDefinitions)
      ? { columnDefinitions: columnDefinitions.map(({ description: _, ...column }: Fields) => column) }
      : {}),
    ...(Array.isArray(rows)
      ? {
          rows: rows.map((row: { cells: unknown[] }) => ({
            ...row,
            cells: row.cells.map((cell) => (typeof cell === 'string' && age.test(cell) ? '<age>' : cell)),
          })),
        }
      : {}),
  }
}
