import type { Way } from '../model.ts'
import { svg } from './elements.ts'

const columns = ['Pods', 'Node', 'Gateway', 'Egress IP', 'Destination'] as const
const width = 1200
const boxWidth = 164
const boxHeight = 28
const step = 40
const top = 30

/** The ways as lines through five columns of boxes. The table of pods has the same content for screen readers. */
export function drawMap(shown: readonly Way[]): SVGElement {
  const labels = shown.map((way) => [
    `${way.policy}: ${way.pods} ${way.pods === 1 ? 'pod' : 'pods'}`,
    way.node,
    way.holder || (way.action === 'egress' ? 'no gateway' : way.action),
    way.egressIp || '–',
    way.destination,
  ])
  const boxes = columns.map((_, column) => {
    const keys = labels.map((label, way) => keyOf(label, column, shown[way]))
    return [...new Set(keys)]
  })
  const rows = Math.max(1, ...boxes.map(({ length }) => length))
  const height = top + rows * step
  const x = (column: number): number => (column * (width - boxWidth)) / (columns.length - 1)
  const y = (column: number, key: string): number => {
    const keys = boxes[column] ?? []
    return top + ((keys.indexOf(key) + 0.5) * rows * step) / keys.length
  }
  const lines = shown.flatMap((way, index) => {
    const label = labels[index] ?? []
    return columns.slice(1).map((_, from) => {
      const start = { x: x(from) + boxWidth, y: y(from, keyOf(label, from, way)) }
      return drawLine(way, start, { x: x(from + 1), y: y(from + 1, keyOf(label, from + 1, way)) })
    })
  })
  const paths = drawPaths(shown, x(1) + boxWidth + 8, (node) => y(1, node) - 8)
  const broken = new Set(shown.filter(({ isBroken }) => isBroken).map(({ holder }) => holder || 'no gateway'))
  return svg(
    'svg',
    {
      viewBox: `0 0 ${width} ${height}`,
      role: 'img',
      'aria-label': `${shown.length} ways of packets; the table of pods lists them`,
    },
    ...columns.map((name, column) => svg('text', { class: 'head', x: x(column) + 2, y: 16 }, name)),
    ...lines,
    ...boxes.flatMap((keys, column) =>
      keys.flatMap((key) => [
        svg('rect', {
          ...{
            x: x(column) + 0.5,
            y: y(column, key) - boxHeight / 2,
            width: boxWidth - 1,
            height: boxHeight,
            rx: 7,
          },
          class: column === 2 && broken.has(key) ? 'bad' : '',
        }),
        svg('text', { x: x(column) + 10, y: y(column, key) + 4.5 }, shorten(key.split('\n')[0] ?? '')),
      ]),
    ),
    ...paths,
  )
}

/** Pods are one box for each policy and node. */
function keyOf(label: readonly string[], column: number, way: Way | undefined): string {
  const text = label[column] ?? ''
  return column === 0 ? `${text}\n${way?.node}` : text
}

const shorten = (text: string): string => (text.length > 23 ? `${text.slice(0, 22)}…` : text)

interface Point {
  readonly x: number
  readonly y: number
}

function drawLine({ isBroken, pods }: Way, start: Point, end: Point): SVGElement {
  const middle = (start.x + end.x) / 2
  return svg('path', {
    d: `M${start.x},${start.y} C${middle},${start.y} ${middle},${end.y} ${end.x},${end.y}`,
    class: isBroken ? 'bad' : '',
    'stroke-width': Math.min(7, 1.5 + Math.log2(pods)),
  })
}

/** The paths that a node uses, beside its box. */
function drawPaths(ways: readonly Way[], x: number, yOf: (node: string) => number): readonly SVGElement[] {
  const used = ways.filter(({ path }) => path !== '')
  return [...new Set(used.map(({ node }) => node))].map((node) => {
    const names = new Set(used.filter((way) => way.node === node).map(({ path }) => path))
    return svg('text', { class: 'head', x, y: yOf(node) }, [...names].sort().join(', '))
  })
}
