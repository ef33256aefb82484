/**
 * Whoever reads what we print may go first, as `head` does. Then nobody wants the rest: leave without a word, as programs do
 * that SIGPIPE ends, which Node.js ignores. Who has something to tidy up does so as after ctrl-C.
 */
export function leaveWithReader(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      if (!process.emit('SIGINT')) process.exit(128 + sigpipe)
    })
}

const sigpipe = 13
