import { z } from 'zod'

/** A Kubernetes label selector. An empty one selects everything. */
export const labelSelectorSchema = z
  .object({
    matchLabels: z
      .record(z.string(), z.string().max(63))
      .describe('Labels that must all be present with exactly these values.')
      .optional(),
    matchExpressions: z
      .array(
        z.object({
          key: z.string().describe('The key of the label.'),
          operator: z
            .enum(['In', 'NotIn', 'Exists', 'DoesNotExist'])
            .describe('How the label is compared with the values: In, NotIn, Exists or DoesNotExist.'),
          values: z
            .array(z.string().max(63))
            .max(256)
            .describe(
              'The values to compare with. In and NotIn need at least one. Exists and DoesNotExist take none.',
            )
            .optional(),
        }),
      )
      .max(64)
      .describe('Requirements that must all hold.')
      .optional(),
  })
  .describe(
    'A label selector. All requirements of matchLabels and matchExpressions must hold. An empty selector selects everything.',
  )

export type LabelSelector = z.infer<typeof labelSelectorSchema>
export type LabelRequirement = NonNullable<LabelSelector['matchExpressions']>[number]

/** Belongs to each entry of matchExpressions. Kubernetes has the same rule for its own selectors. */
export const requirementRule = {
  rule: "(self.operator == 'In' || self.operator == 'NotIn') == (has(self.values) && size(self.values) > 0)",
  message: 'In and NotIn need at least one value, Exists and DoesNotExist take none',
}
