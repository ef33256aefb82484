/**
 * What a test file has to itself as long as it has a process of its own: namespaces, children, servers, timers, the environment, and hooks
 * of the whole file. Memory and time that a test measures are its own, too.
 */
const ownThings = [
  /^(before|after|beforeEach|afterEach)\(/m,
  /\b(mock|performance|globalThis|process|setTimeout|setInterval|sleep|Worker)\b/,
  /node:(child_process|http|net|tls|timers|worker_threads)|undici|koffi|linux\//,
  /private-namespaces|hold-program|running-server|-under-test|openDatapath|\blisten\(/,
]

/** Whether the tests of this source can run in one process with others. */
export const onlyComputes = (source: string): boolean => !ownThings.some((each) => each.test(source))
