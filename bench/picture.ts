import type { Failover } from './failover.ts'

/** One figure of the result file. `ratio` is Sallyport's advantage over the classic gateway: above 1 is better. */
export interface Result {
  readonly name: string
  readonly unit: string
  readonly sallyport: number
  readonly classic: number | null
  readonly direct: number | null
  readonly ratio: number | null
  /** Sallyport with egressPath=tunnel. */
  readonly tunnel?: number | null
  /** A gateway of kernel parts without a tunnel. */
  readonly hop?: number | null
  /** The advantage of the tunnel over the classic gateway. */
  readonly tunnelRatio?: number | null
  /** The advantage of Sallyport over `hop`. */
  readonly overHop?: number | null
}

/** A figure that has nothing to be compared with in the other ways. */
export const loneResult = (name: string, unit: string, value: number): Result => ({
  ...{ name, unit, sallyport: value },
  ...{ classic: null, direct: null, ratio: null },
})

const width = 900
const colour = {
  good: '#2b7a5b',
  bad: '#b3562f',
  pale: '#a9cfbf',
  ink: '#1f2933',
  dim: '#5b6875',
  line: '#d5dbe1',
}
const style = `text{font:14px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;fill:${colour.ink}}
.head{font-size:20px;font-weight:600}.huge{font-size:44px;font-weight:700;fill:${colour.good}}.group{font-weight:600}
.note{font-size:12px;fill:${colour.dim}}.value{font-weight:600}.end{text-anchor:end}.middle{text-anchor:middle}`

function frame(height: number, title: string, parts: readonly string[]): string {
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>${escapeText(title)}</title>
<style>${style}</style>
<rect width="100%" height="100%" fill="#ffffff"/>
${parts.join('\n')}
</svg>
`
}

const escapeText = (value: string): string => value.replace(/[&<>]/g, (char) => `&#${char.charCodeAt(0)};`)

function text(x: number, y: number, content: string, classes = ''): string {
  const attribute = classes === '' ? '' : ` class="${classes}"`
  return `<text x="${x.toFixed(0)}" y="${y.toFixed(0)}"${attribute}>${escapeText(content)}</text>`
}

function bar(x: number, y: number, length: number, height: number, fill: string): string {
  return `<rect x="${x}" y="${y}" width="${Math.max(2, length).toFixed(1)}" height="${height}" rx="3" fill="${fill}"/>`
}

/** The label of each failure, in the order of the picture. */
const failures: readonly { readonly group: string; readonly labels: Readonly<Record<string, string>> }[] = [
  {
    group: 'The gateway fails',
    labels: {
      'namespace deleted': 'the whole node disappears',
      'link cut': 'its network link is cut',
      "node's processes frozen": 'all its processes freeze',
      'agent killed': 'its agent is killed',
    },
  },
  {
    group: 'The gateway fails while API server and operator are down',
    labels: {
      'link cut, operator and API server away': 'its network link is cut',
      "node's processes frozen, operator and API server away": 'all its processes freeze',
    },
  },
  {
    group: 'One of two paths to the gateway fails',
    labels: {
      'link path filtered': 'the link drops egress IPs',
      'tunnel filtered': 'the port of the tunnel is filtered',
    },
  },
  {
    group: 'Maintenance',
    labels: {
      'agents upgraded': 'all agents are upgraded',
      'node cordoned': 'the node is cordoned',
      'node unlabelled': 'the node loses its gateway label',
    },
  },
]

const failoverLeft = 310
const failoverRight = 700
const axisMs = 500

/** Draws how long open connections pause and how many break, for each kind of failure. */
export function drawFailover(results: readonly Failover[]): string {
  const total = (of: (result: Failover) => number): string =>
    results.reduce((sum, each) => sum + of(each), 0).toLocaleString('en-US')
  const longestWait = Math.max(...results.map(({ newFlowsDisturbedMs }) => newFlowsDisturbedMs))
  const opened = total(({ connections }) => connections)
  const strayed = total(({ wrongSource }) => wrongSource)
  const failed = total(({ newFlowsFailed }) => newFlowsFailed)
  const scale = (failoverRight - failoverLeft) / axisMs
  const title = 'What open connections notice when their gateway fails'
  const parts = [
    text(24, 36, title, 'head'),
    text(24, 92, `${total(({ broken }) => broken)} broken`, 'huge'),
    text(
      270,
      74,
      `of ${opened} open connections in ${results.length} cases. ${strayed} packets left from another address.`,
    ),
    text(270, 94, `New connections: ${failed} failed. The slowest waited ${longestWait} ms.`),
    text(failoverLeft, 134, 'longest pause of an open connection', 'note'),
    text(876, 134, 'connections broken', 'note end'),
  ]
  let y = 150
  for (const { group, labels } of failures) {
    if (!results.some(({ way }) => way in labels)) continue
    parts.push(text(24, y + 16, group, 'group'))
    y += 26
    for (const [way, label] of Object.entries(labels)) {
      const result = results.find((each) => each.way === way)
      if (result === undefined) continue
      const longest = result.stallMs.max
      parts.push(
        text(failoverLeft - 14, y + 16, label, 'end'),
        bar(failoverLeft, y, Math.min(longest, axisMs) * scale, 22, colour.good),
        text(failoverLeft + Math.min(longest, axisMs) * scale + 8, y + 16, `${longest} ms`, 'value'),
        text(
          876,
          y + 16,
          `${result.broken.toLocaleString('en-US')} of ${result.connections.toLocaleString('en-US')}`,
          'value end',
        ),
      )
      y += 30
    }
    y += 8
  }
  for (let ms = 0; ms <= axisMs; ms += 100) {
    const x = failoverLeft + ms * scale
    parts.unshift(
      `<line x1="${x}" x2="${x}" y1="144" y2="${y}" stroke="${colour.line}"/>`,
      text(x, y + 18, ms === axisMs ? 'half a second' : `${ms} ms`, 'note middle'),
    )
  }
  return frame(y + 34, title, parts)
}

const left = 366
const barHeight = 22
const gap = 12
const top = 74

/** Draws bars of the ratio to the classic gateway, with a line at 1. */
export function drawResults(results: readonly Result[]): string {
  const shown = results.filter(
    (result): result is Result & { ratio: number } => result.ratio !== null && Number.isFinite(result.ratio),
  )
  const scale = (width - left - 150) / Math.max(1.4, ...shown.map(({ ratio }) => ratio))
  const bottom = top + shown.length * (barHeight + gap)
  const line = left + scale
  const bars = shown.flatMap(({ name, ratio, sallyport, unit }, index) => {
    const y = top + index * (barHeight + gap)
    const after = Math.max(left + ratio * scale, line) + 10
    return [
      text(left - 12, y + 16, name, 'end'),
      bar(left, y, ratio * scale, barHeight, ratio >= 1 ? colour.good : colour.bad),
      text(after, y + 16, ratio.toFixed(2), 'value'),
      text(after + 42, y + 16, `${format(sallyport)} ${unit}`, 'note'),
    ]
  })
  return frame(bottom + 44, "Sallyport compared with a gateway made of the kernel's own parts", [
    text(24, 32, "Sallyport compared with a gateway made of the kernel's own parts", 'head'),
    text(
      24,
      54,
      'That gateway (policy routing, VXLAN, nftables SNAT) is 1. Longer is better, for latency and CPU time as well.',
      'note',
    ),
    ...bars,
    `<line x1="${line}" x2="${line}" y1="${top - 10}" y2="${bottom + 8}" stroke="${colour.ink}" stroke-dasharray="3 4"/>`,
    text(line, bottom + 26, 'the gateway made of kernel parts', 'note middle'),
  ])
}

export function format(value: number): string {
  if (value >= 1000) return Math.round(value).toLocaleString('en-US')
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2)
}
