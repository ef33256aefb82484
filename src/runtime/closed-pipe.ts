/**
 * Ends the process when the reader of its output exits, as `head` does. Other programs are ended by SIGPIPE, which Node.js
 * ignores. Commands that have to clean up do so as after ctrl-C.
 */
export function leaveWithReader(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      if (!process.emit('SIGINT')) process.exit(128 + sigpipe)
    })
}

const sigpipe = 13
