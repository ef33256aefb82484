/**
 * The part of Go's templates that people use with `docker inspect -f`: text, fields, range, json, if.
 * Any other action is an error that names it.
 */
type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'value'; readonly expression: string }
  | { readonly kind: 'range' | 'if'; readonly expression: string; readonly body: readonly Node[] }

export function renderTemplate(template: string, data: unknown): string {
  const tokens = template.split(/(\{\{.*?\}\})/).filter((token) => token !== '')
  const { nodes, rest, isEnded } = parse(tokens)
  if (isEnded || rest.length > 0) throw new Error('the template has an {{end}} without a range or if')
  return render(nodes, data)
}

/** Parses up to the {{end}} of the current block, or to the end of the template. */
function parse(tokens: readonly string[]): { nodes: Node[]; rest: readonly string[]; isEnded: boolean } {
  const nodes: Node[] = []
  let rest = tokens
  while (rest.length > 0) {
    const [token = '', ...after] = rest
    rest = after
    const action = /^\{\{-?\s*(.*?)\s*-?\}\}$/.exec(token)?.[1]
    if (action === undefined)
      nodes.push({ kind: 'text', text: token.replaceAll('\\n', '\n').replaceAll('\\t', '\t') })
    else if (action === 'end') return { nodes, rest, isEnded: true }
    else {
      const block = /^(range|if)\s*(\..*)$/.exec(action)
      if (block === null && /^(range|if|with|else|define|block)\b/.test(action)) throw unknownAction(action)
      if (block === null) nodes.push({ kind: 'value', expression: action })
      else {
        const inner = parse(rest)
        if (!inner.isEnded) throw new Error(`the template has no {{end}} for "${action}"`)
        nodes.push({ kind: block[1] as 'range' | 'if', expression: block[2] ?? '', body: inner.nodes })
        rest = inner.rest
      }
    }
  }
  return { nodes, rest, isEnded: false }
}

function render(nodes: readonly Node[], data: unknown): string {
  return nodes
    .map((node) => {
      if (node.kind === 'text') return node.text
      const value = evaluate(node.expression, data)
      if (node.kind === 'value')
        return typeof value === 'object' ? JSON.stringify(value) : String(value ?? '<no value>')
      if (node.kind === 'if') return value ? render(node.body, data) : ''
      return Object.values((value ?? {}) as object)
        .map((item) => render(node.body, item))
        .join('')
    })
    .join('')
}

function evaluate(expression: string, data: unknown): unknown {
  const json = /^json\s+(.+)$/.exec(expression)
  if (json !== null) return JSON.stringify(evaluate(json[1] ?? '.', data))
  if (!/^(\.\w*)+$/.test(expression)) throw unknownAction(expression)
  return expression
    .split('.')
    .filter((part) => part !== '')
    .reduce<unknown>((value, part) => (value as Record<string, unknown> | undefined)?.[part], data)
}

function unknownAction(action: string): Error {
  return new Error(`the template has the action "${action}": use .Field.Field, json, range, if and end only`)
}
