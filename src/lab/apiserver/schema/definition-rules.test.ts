import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { ApiObject } from '../objects/api-object.ts'
import type { ResourceKind } from '../objects/resources.ts'
import { fillDefaults } from '../objects/writes/defaults.ts'
import { definitionIssues } from './definition-rules.ts'

const withMetadata = (metadata: object): ApiObject =>
  ({
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: 'widgets.example.com' },
    spec: {
      group: 'example.com',
      scope: 'Namespaced',
      names: { plural: 'widgets', singular: 'widget', kind: 'Widget', listKind: 'WidgetList' },
      versions: [
        {
          name: 'v1',
          served: true,
          storage: true,
          schema: { openAPIV3Schema: { type: 'object', properties: { metadata } } },
        },
      ],
    },
  }) as unknown as ApiObject

const metadataField = 'spec.validation.openAPIV3Schema.properties[metadata]'
const implicit =
  'Forbidden: must not specify anything other than name and generateName, but metadata is implicitly specified'

describe('a definition that says of metadata', () => {
  const cases: readonly { says: string; metadata: object; expect: readonly string[] }[] = [
    { says: 'that it is an object', metadata: { type: 'object' }, expect: [] },
    {
      says: 'how long a name may be',
      metadata: { type: 'object', properties: { name: { type: 'string', maxLength: 10 } } },
      expect: [],
    },
    {
      says: 'what it is for',
      metadata: { type: 'object', description: 'Its name.' },
      expect: [`${metadataField}: ${implicit}`],
    },
    {
      says: 'which labels it may have',
      metadata: { type: 'object', properties: { labels: { type: 'object' } } },
      expect: [`${metadataField}: ${implicit}`],
    },
    {
      says: 'that its name is required',
      metadata: { type: 'object', required: ['name'] },
      expect: [`${metadataField}: ${implicit}`],
    },
    {
      says: 'a default',
      metadata: { type: 'object', default: {} },
      expect: [`${metadataField}.default: Forbidden: must not be set in top-level metadata`],
    },
    {
      says: 'that it is a text',
      metadata: { type: 'string' },
      expect: [`${metadataField}.type: Invalid value: "string": must be object`],
    },
  ]
  for (const { says, metadata, expect } of cases)
    test(`${says} is ${expect.length === 0 ? 'accepted' : 'refused'}`, () => {
      const definition = withMetadata(metadata)
      fillDefaults({ kind: 'CustomResourceDefinition' } as ResourceKind, definition)
      assert.deepEqual(
        definitionIssues(definition).map(({ field, message }) => `${field}: ${message}`),
        expect,
      )
    })
})
