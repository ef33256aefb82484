import type { Dashboard, Panel } from './panels.ts'

// biome-ignore lint/suspicious/noTemplateCurlyInString: Grafana fills it in
const datasource = { type: 'prometheus', uid: '${datasource}' } as const
const columns = 24
const sizes = { stat: { w: 6, h: 4 }, timeseries: { w: 12, h: 8 }, table: { w: 24, h: 8 } } as const

/** A dashboard as Grafana imports it. Any Prometheus that Grafana knows can be its source of data. */
export function renderDashboard({ name, title, panels }: Dashboard): object {
  const next = placer()
  return {
    uid: name,
    title,
    tags: ['sallyport'],
    schemaVersion: 39,
    editable: true,
    timezone: 'browser',
    refresh: '30s',
    time: { from: 'now-6h', to: 'now' },
    templating: {
      list: [{ name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus' }],
    },
    panels: panels.map((panel, index) => renderPanel(panel, index + 1, next(panel.kind ?? 'timeseries'))),
  }
}

function renderPanel(
  { title, description, unit = 'short', kind = 'timeseries', queries }: Panel,
  id: number,
  gridPos: object,
): object {
  return {
    id,
    title,
    ...(description === undefined ? {} : { description }),
    type: kind,
    datasource,
    gridPos,
    fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
    targets: queries.map(({ expr, legend }, index) => ({
      refId: String.fromCharCode(65 + index),
      datasource,
      expr,
      legendFormat: legend,
      ...(kind === 'timeseries' ? {} : { instant: true }),
      ...(kind === 'table' ? { format: 'table' } : {}),
    })),
  }
}

/** Fills rows from the left. */
function placer(): (kind: keyof typeof sizes) => object {
  let [x, y, rowHeight] = [0, 0, 0]
  return (kind) => {
    const { w, h } = sizes[kind]
    if (x + w > columns) [x, y, rowHeight] = [0, y + rowHeight, 0]
    const place = { x, y, w, h }
    x += w
    rowHeight = Math.max(rowHeight, h)
    return place
  }
}
