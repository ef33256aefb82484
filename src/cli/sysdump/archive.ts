import { gzipSync } from 'node:zlib'

export interface ArchivedFile {
  readonly path: string
  readonly text: string
}

const blockLength = 512

/** A tar archive (POSIX ustar), compressed. Every tar reads it. */
export function archive(files: readonly ArchivedFile[], nowMs: number): Buffer {
  const entries = files.flatMap(({ path, text }) => {
    const body = Buffer.from(text)
    return [header(path, body.length, nowMs), body, Buffer.alloc(padding(body.length))]
  })
  return gzipSync(Buffer.concat([...entries, Buffer.alloc(2 * blockLength)]))
}

const padding = (length: number): number => (blockLength - (length % blockLength)) % blockLength

/** Numbers are in octal, and the checksum counts itself as spaces. */
function header(path: string, length: number, nowMs: number): Buffer {
  const maxPath = 100
  if (Buffer.byteLength(path) > maxPath) throw new Error(`${path} is longer than ${maxPath} bytes`)
  const block = Buffer.alloc(blockLength)
  const octal = (value: number, at: number, digits: number): void =>
    void block.write(value.toString(8).padStart(digits, '0'), at)
  block.write(path, 0)
  octal(0o600, 100, 7)
  octal(0, 108, 7)
  octal(0, 116, 7)
  octal(length, 124, 11)
  octal(Math.floor(nowMs / 1000), 136, 11)
  block.write('        0', 148)
  block.write('ustar\x0000', 257)
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    6,
  )
  block.writeUInt8(0, 154)
  return block
}
