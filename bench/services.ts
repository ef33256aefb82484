import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { repository } from '../src/lab/layout.ts'
import { measureServicePrograms } from './service-programs.ts'
import { compileTools } from './tools.ts'

/* What the programs of a client's node take for packets to a Service, and whether that grows with the number of Services. */

compileTools()
const programs = await measureServicePrograms([10, 1_000, 10_000])
for (const row of programs) process.stdout.write(`${JSON.stringify(row)}\n`)
writeFileSync(join(repository, 'bench/services.json'), `${JSON.stringify(programs, null, 2)}\n`)
process.exit()
