import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parsePodStream } from './pod-streams.ts'

describe('which requests the relay may answer itself', () => {
  const cases: readonly { name: string; path: string; expect: string | undefined }[] = [
    { name: 'exec', path: '/api/v1/namespaces/a/pods/b/exec?command=id', expect: 'a/b exec' },
    { name: 'logs', path: '/api/v1/namespaces/a/pods/b/log?follow=true', expect: 'a/b log' },
    { name: 'attach', path: '/api/v1/namespaces/a/pods/b/attach', expect: 'a/b attach' },
    { name: 'a pod itself is not', path: '/api/v1/namespaces/a/pods/b', expect: undefined },
    { name: 'nor is a port', path: '/api/v1/namespaces/a/pods/b/portforward', expect: undefined },
    {
      name: 'what was authorized is what is dialled: no way around in the path',
      path: '/api/v1/namespaces/a/pods/b/../c/exec',
      expect: 'a/c exec',
    },
    { name: 'no slash in a name', path: '/api/v1/namespaces/a/pods/b%2Fc/exec', expect: undefined },
    { name: 'no URL', path: '//', expect: undefined },
  ]
  for (const { name, path, expect } of cases)
    test(name, () => {
      const stream = parsePodStream(path)
      assert.equal(stream && `${stream.namespace}/${stream.pod} ${stream.subresource}`, expect)
    })
})
