const newline = 10
const space = 32

/**
 * A runtime writes each line as `TIME STREAM TAG TEXT`; the tag is F for a whole line, and P for a part of one that goes on in
 * the next. A line that is being written is left for later.
 */
export function decodeLog(raw: Buffer): { readonly text: Buffer; readonly consumed: number } {
  const parts: Buffer[] = []
  let start = 0
  for (let end = raw.indexOf(newline); end !== -1; end = raw.indexOf(newline, start)) {
    const line = raw.subarray(start, end + 1)
    start = end + 1
    const afterTime = line.indexOf(space)
    const afterStream = line.indexOf(space, afterTime + 1)
    const afterTag = line.indexOf(space, afterStream + 1)
    const isPart = line[afterStream + 1] === 'P'.charCodeAt(0)
    parts.push(line.subarray(afterTag + 1, isPart ? -1 : undefined))
  }
  return { text: Buffer.concat(parts), consumed: start }
}
