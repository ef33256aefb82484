import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { renderChart } from './chart.ts'

/** Writes the chart to the folder of the first argument, after deleting that folder. */
const [folder] = process.argv.slice(2)
if (folder === undefined) throw new Error('usage: write-chart.ts FOLDER')
rmSync(folder, { recursive: true, force: true })
for (const [file, text] of renderChart()) {
  mkdirSync(dirname(join(folder, file)), { recursive: true })
  writeFileSync(join(folder, file), text)
}
