import { renderSchema } from './schema.ts'
import { renderTemplates } from './templates.ts'
import { chartYaml, namedTemplates, notes, statusTest } from './texts.ts'
import { renderValues } from './values.ts'

const origin =
  'Rendered by "make chart" from the sources of "sallyport install". Change those, not this file.'

/** Renders the Helm chart: the text of each file by its path. */
export function renderChart(): ReadonlyMap<string, string> {
  const templates = [...renderTemplates(), ['templates/tests/status.yaml', statusTest()] as const]
  return new Map([
    ['Chart.yaml', chartYaml],
    ['values.yaml', renderValues()],
    ['values.schema.json', renderSchema()],
    ['templates/_settings.tpl', namedTemplates],
    ['templates/NOTES.txt', notes],
    ...templates.map(([file, text]): [string, string] => [file, `{{- /* ${origin} */}}\n${text}`]),
  ])
}
