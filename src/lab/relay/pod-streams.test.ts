import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parsePodStream } from './pod-streams.ts'

describe('the relay answers itself, or does not,', () => {
  const cases: readonly { name: string; path: string; expect: string | undefined }[] = [
    { name: 'exec', path: '/api/v1/namespaces/a/pods/b/exec?command=id', expect: 'a/b exec' },
    { name: 'logs', path: '/api/v1/namespaces/a/pods/b/log?follow=true', expect: 'a/b log' },
    { name: 'attach', path: '/api/v1/namespaces/a/pods/b/attach', expect: 'a/b attach' },
    { name: 'not a pod itself', path: '/api/v1/namespaces/a/pods/b', expect: undefined },
    { name: 'not port-forward', path: '/api/v1/namespaces/a/pods/b/portforward', expect: undefined },
    {
      name: 'a path with dots, for the pod that it resolves to',
      path: '/api/v1/namespaces/a/pods/b/../c/exec',
      expect: 'a/c exec',
    },
    { name: 'not a name with a slash', path: '/api/v1/namespaces/a/pods/b%2Fc/exec', expect: undefined },
    { name: 'not an invalid URL', path: '//', expect: undefined },
  ]
  for (const { name, path, expect } of cases)
    test(name, () => {
      const stream = parsePodStream(path)
      assert.equal(stream && `${stream.namespace}/${stream.pod} ${stream.subresource}`, expect)
    })
})
