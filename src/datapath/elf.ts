/** One section of a 64-bit little-endian ELF file: all that is needed of what clang writes for the bpf target. */
export function elfSection(file: Buffer, wanted: string): Buffer {
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1)
    throw new Error('this is no 64-bit little-endian ELF file; compile the datapath with: make build')
  const headers = Number(file.readBigUInt64LE(0x28))
  const headerSize = file.readUInt16LE(0x3a)
  const count = file.readUInt16LE(0x3c)
  const names = sectionAt(file, headers + file.readUInt16LE(0x3e) * headerSize)
  for (let index = 0; index < count; index++) {
    const header = headers + index * headerSize
    const start = file.readUInt32LE(header)
    if (names.toString('utf8', start, names.indexOf(0, start)) === wanted) return sectionAt(file, header)
  }
  throw new Error(
    `the object file has no section ${wanted}; compile the datapath with debug information: make build`,
  )
}

function sectionAt(file: Buffer, header: number): Buffer {
  const offset = Number(file.readBigUInt64LE(header + 24))
  return file.subarray(offset, offset + Number(file.readBigUInt64LE(header + 32)))
}
