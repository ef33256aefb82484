/** What a packet capture at the far end shows of one death. */
export interface Timeline {
  readonly way: string
  /** Since the capture began. */
  readonly diedAtMs: number
  /** Packets per 10 ms, by the link-layer sender they came from: one lane for each gateway. */
  readonly lanes: readonly (readonly number[])[]
}

const bucketMs = 10
const width = 900
const left = 250
const laneHeight = 46
const rowGap = 22
const top = 70
const [beforeMs, afterMs] = [500, 1_500]
const colors = ['#2b7a5b', '#3b5fa8', '#8a6d1f', '#7a2b5f']

/** One row a death: packets at the far end around it, a colour for each gateway they came through. */
export function drawTimelines(timelines: readonly Timeline[]): string {
  const height = top + timelines.length * (laneHeight + rowGap) + 40
  const perMs = (width - left - 30) / (beforeMs + afterMs)
  const x = (ms: number): number => left + (ms + beforeMs) * perMs
  const rows = timelines.map((timeline, index) => drawRow(timeline, top + index * (laneHeight + rowGap), x))
  const axis = [-500, 0, 500, 1000, 1500]
    .map((ms) => `<text x="${x(ms)}" y="${height - 14}" text-anchor="middle" class="note">${ms} ms</text>`)
    .join('')
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>Packets at the far end when a gateway dies</title>
<style>text{font:13px system-ui,sans-serif;fill:#1f2933}.head{font-size:18px;font-weight:600}.note{font-size:12px;fill:#6b7785}</style>
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="24" y="32" class="head">Packets at the far end when a gateway dies</text>
<text x="24" y="52" class="note">a bar each 10 ms, from a capture; a colour for each gateway; the line is the death</text>
${rows.join('\n')}
<line x1="${x(0)}" x2="${x(0)}" y1="${top - 8}" y2="${height - 30}" stroke="#b3562f" stroke-dasharray="4 3"/>
${axis}
</svg>
`
}

function drawRow({ way, diedAtMs, lanes }: Timeline, y: number, x: (ms: number) => number): string {
  const most = Math.max(1, ...lanes.flat())
  const bars = lanes.flatMap((lane, which) =>
    lane.flatMap((count, bucket) => {
      const ms = bucket * bucketMs - diedAtMs
      if (count === 0 || ms < -beforeMs || ms >= afterMs) return []
      const barHeight = Math.max(1, (count / most) * laneHeight)
      return `<rect x="${x(ms).toFixed(1)}" y="${(y + laneHeight - barHeight).toFixed(1)}" width="2.4" height="${barHeight.toFixed(1)}" fill="${colors[which % colors.length]}" fill-opacity="0.8"/>`
    }),
  )
  return `<text x="${left - 14}" y="${y + laneHeight / 2 + 4}" text-anchor="end">${way}</text>
<line x1="${left}" x2="${width - 30}" y1="${y + laneHeight}" y2="${y + laneHeight}" stroke="#d5dbe1"/>
${bars.join('')}`
}
