/** Reads as much as is needed of the 64-bit little-endian ELF file that clang writes for the bpf target. Format: elf(5). */
export function elfSection(file: Buffer, wanted: string): Buffer {
  const found = sections(file).find(({ name }) => name === wanted)
  if (found === undefined)
    throw new Error(
      `the object file has no section ${wanted}: compile the datapath with debug information (make build)`,
    )
  return found.bytes
}

/** The offset of each symbol in its section. BTF's own offsets of variables are zero until a linker fills them in. */
export function elfSymbols(file: Buffer): Map<string, number> {
  const table = elfSection(file, '.symtab')
  const names = elfSection(file, '.strtab')
  const symbolSize = 24
  const symbols = new Map<string, number>()
  for (let at = 0; at + symbolSize <= table.length; at += symbolSize)
    symbols.set(textAt(names, table.readUInt32LE(at)), Number(table.readBigUInt64LE(at + 8)))
  return symbols
}

function sections(file: Buffer): { readonly name: string; readonly bytes: Buffer }[] {
  if (file.length < 64 || file.readUInt32BE(0) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1)
    throw new Error(
      'the object file is not a 64-bit little-endian ELF file: compile the datapath with make build',
    )
  const headers = Number(file.readBigUInt64LE(0x28))
  const headerSize = file.readUInt16LE(0x3a)
  const names = bytesOf(file, headers + file.readUInt16LE(0x3e) * headerSize)
  return Array.from({ length: file.readUInt16LE(0x3c) }, (_, index) => {
    const header = headers + index * headerSize
    return { name: textAt(names, file.readUInt32LE(header)), bytes: bytesOf(file, header) }
  })
}

function bytesOf(file: Buffer, header: number): Buffer {
  const offset = Number(file.readBigUInt64LE(header + 24))
  return file.subarray(offset, offset + Number(file.readBigUInt64LE(header + 32)))
}

function textAt(names: Buffer, start: number): string {
  return names.toString('utf8', start, names.indexOf(0, start))
}
