import type { ObjectMeta } from './metadata.ts'

/** An annotation and not a field, so that the policy stays one that other products accept. */
export const natLogAnnotation = 'sallyport.dev/nat-log'

/** `destinations`: in the log, and each record has the destination. */
const natLogChoices = ['on', 'off', 'destinations'] as const
export type NatLogChoice = (typeof natLogChoices)[number]

/** Undefined if the policy says nothing, or nothing that can be read. */
export function readNatLogChoice({ annotations }: Pick<ObjectMeta, 'annotations'>): NatLogChoice | undefined {
  return natLogChoices.find((choice) => choice === annotations?.[natLogAnnotation])
}

export function natLogRemarks({ annotations }: Pick<ObjectMeta, 'annotations'>): readonly string[] {
  const value = annotations?.[natLogAnnotation]
  if (value === undefined || natLogChoices.some((choice) => choice === value)) return []
  return [
    `The annotation ${natLogAnnotation} is ${value}, which has no meaning. Use ${natLogChoices.join(', ')}.`,
  ]
}
