import { forbidden, unsupported, wrong } from '../../schema/field-issues.ts'
import { type FieldIssue, invalid } from '../status-error.ts'

/** The kind of the options in a write's query, by method. */
const kinds: Readonly<Record<string, string>> = {
  POST: 'CreateOptions',
  PUT: 'UpdateOptions',
  PATCH: 'PatchOptions',
}
const validations = ['', 'Ignore', 'Strict', 'Warn']
const maxManagerBytes = 128

export function checkWriteOptions(method: string, parameters: URLSearchParams, isApply: boolean): void {
  const kind = kinds[method]
  if (kind === undefined) return
  const issues = [
    ...dryRunIssues(parameters.getAll('dryRun')),
    ...managerIssues(parameters.get('fieldManager') ?? '', isApply),
    ...validationIssues(parameters.get('fieldValidation')),
    ...(parameters.has('force') && kind === 'PatchOptions' && !isApply
      ? [forbidden('force', 'may not be specified for non-apply patch')]
      : []),
  ]
  if (issues.length > 0) throw invalid('meta.k8s.io', kind, '', issues)
}

function dryRunIssues(values: readonly string[]): FieldIssue[] {
  return values.every((value) => value === 'All' || value === '')
    ? []
    : [unsupported('dryRun', values, ['All'])]
}

function validationIssues(value: string | null): FieldIssue[] {
  return value === null || validations.includes(value)
    ? []
    : [unsupported('fieldValidation', value, validations)]
}

function managerIssues(manager: string, isApply: boolean): FieldIssue[] {
  if (isApply && manager === '')
    return [
      {
        field: 'fieldManager',
        reason: 'FieldValueRequired',
        message: 'Required value: is required for apply patch',
      },
    ]
  if (Buffer.byteLength(manager) > maxManagerBytes)
    return [
      {
        field: 'fieldManager',
        reason: 'FieldValueTooLong',
        message: `Too long: may not be more than ${maxManagerBytes} bytes`,
      },
    ]
  const at = [...manager].findIndex((letter) => letter < ' ' || letter === '\u007f')
  if (at < 0) return []
  const code = manager.charCodeAt(at).toString(16).toUpperCase().padStart(4, '0')
  return [wrong('fieldManager', manager, `invalid character U+${code} (at position ${at})`)]
}
