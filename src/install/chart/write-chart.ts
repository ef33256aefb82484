import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { renderMonitoring } from '../monitoring/files.ts'
import { renderChart } from './chart.ts'

/** Writes the chart to the folder of the first argument, and alerts and dashboards to that of the second, after deleting them. */
const [chart, monitoring] = process.argv.slice(2)
if (chart === undefined || monitoring === undefined) throw new Error('usage: write-chart.ts CHART MONITORING')
write(chart, renderChart())
write(monitoring, renderMonitoring())

function write(folder: string, files: ReadonlyMap<string, string>): void {
  rmSync(folder, { recursive: true, force: true })
  for (const [file, text] of files) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), text)
  }
}
