import { SyntaxKind } from 'typescript/unstable/ast'
import { createScanner } from 'typescript/unstable/ast/scanner'

/** A string of a program, with the line that it begins on. Values that a template puts in are `…`. */
export interface Literal {
  readonly line: number
  readonly text: string
}

/** After one of these a slash divides; anywhere else it begins a regular expression. */
const operandEnds = new Set([
  SyntaxKind.Identifier,
  SyntaxKind.NumericLiteral,
  SyntaxKind.BigIntLiteral,
  SyntaxKind.StringLiteral,
  SyntaxKind.NoSubstitutionTemplateLiteral,
  SyntaxKind.TemplateTail,
  SyntaxKind.CloseParenToken,
  SyntaxKind.CloseBracketToken,
  SyntaxKind.CloseBraceToken,
])

/** Every string and template of a TypeScript source. Comments and regular expressions are none. */
export function literalsOf(source: string): readonly Literal[] {
  const scanner = createScanner(true, undefined, source)
  const literals: Literal[] = []
  /* For each open brace the template that it is inside of, or undefined for a block or an object. */
  const braces: (string[] | undefined)[] = []
  let previous: SyntaxKind = SyntaxKind.Unknown
  const note = (text: string): void => {
    literals.push({ line: source.slice(0, scanner.getTokenStart()).split('\n').length, text })
  }
  for (let token = scanner.scan(); token !== SyntaxKind.EndOfFile; token = scanner.scan()) {
    if (token === SyntaxKind.SlashToken && !operandEnds.has(previous)) token = scanner.reScanSlashToken()
    if (token === SyntaxKind.StringLiteral || token === SyntaxKind.NoSubstitutionTemplateLiteral)
      note(scanner.getTokenValue())
    if (token === SyntaxKind.TemplateHead) braces.push([scanner.getTokenValue()])
    if (token === SyntaxKind.OpenBraceToken) braces.push(undefined)
    if (token === SyntaxKind.CloseBraceToken) {
      const template = braces.pop()
      if (template !== undefined) {
        token = scanner.reScanTemplateToken(false)
        template.push(scanner.getTokenValue())
        if (token === SyntaxKind.TemplateMiddle) braces.push(template)
        else note(template.join('…'))
      }
    }
    previous = token
  }
  return literals
}
