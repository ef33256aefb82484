import type { Logger } from './log.ts'

/** Aborts at SIGTERM or SIGINT. A second signal ends the process at once. */
export function shutdownSignal(log: Logger): AbortSignal {
  const controller = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const)
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(1)
      log.info({ signal: name }, 'shutting down')
      controller.abort()
    })
  process.on('unhandledRejection', (error) => {
    log.fatal({ err: error }, 'a bug: a promise was rejected and not handled')
    process.exit(1)
  })
  return controller.signal
}
