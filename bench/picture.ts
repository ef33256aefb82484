/** One figure of the result file. `ratio` is Sallyport's advantage over the classic gateway: above 1 is better. */
export interface Result {
  readonly name: string
  readonly unit: string
  readonly sallyport: number
  readonly classic: number | null
  readonly direct: number | null
  readonly ratio: number | null
}

const width = 900
const left = 366
const barHeight = 22
const gap = 12
const top = 74

/** Bars of the ratio to the classic gateway, with a line at 1. */
export function drawResults(results: readonly Result[]): string {
  const shown = results.filter(
    (result): result is Result & { ratio: number } => result.ratio !== null && Number.isFinite(result.ratio),
  )
  const most = Math.max(1.4, ...shown.map(({ ratio }) => ratio))
  const scale = (width - left - 110) / most
  const height = top + shown.length * (barHeight + gap) + 44
  const bars = shown.map(({ name, ratio, sallyport, unit }, index) => {
    const y = top + index * (barHeight + gap)
    const color = ratio >= 1 ? '#2b7a5b' : '#b3562f'
    return `<text x="${left - 12}" y="${y + 16}" text-anchor="end">${name}</text>
<rect x="${left}" y="${y}" width="${(ratio * scale).toFixed(1)}" height="${barHeight}" rx="3" fill="${color}"/>
<text x="${(left + ratio * scale + 8).toFixed(1)}" y="${y + 16}" class="value">${ratio.toFixed(2)}<tspan class="raw" dx="8">${format(sallyport)} ${unit}</tspan></text>`
  })
  const line = left + scale
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>Sallyport against a gateway from the kernel's own parts</title>
<style>text{font:14px system-ui,sans-serif;fill:#1f2933}.head{font-size:18px;font-weight:600}.note,.raw{font-size:12px;fill:#6b7785}.value{font-weight:600}.raw{font-weight:400}</style>
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="24" y="32" class="head">Sallyport against a gateway from the kernel's own parts</text>
<text x="24" y="52" class="note">policy routing, VXLAN and nftables SNAT = 1; longer is better, also for latencies and CPU</text>
${bars.join('\n')}
<line x1="${line}" x2="${line}" y1="${top - 10}" y2="${height - 36}" stroke="#1f2933" stroke-dasharray="3 4"/>
<text x="${line}" y="${height - 18}" text-anchor="middle" class="note">classic gateway</text>
</svg>
`
}

export function format(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en-US')
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2)
}
