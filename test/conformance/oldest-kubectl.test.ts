/* The tests that ask with kubectl, once more with the oldest one that Sallyport supports. Each test file is a process of its own. */
process.env.SALLYPORT_TEST_KUBECTL = 'oldest'
await import('../../src/lab/apiserver/kubectl.test.ts')
await import('../../src/lab/apiserver/kubectl-commands.test.ts')
