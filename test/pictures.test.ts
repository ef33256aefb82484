import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { pictures } from '../bench/draw.ts'

const widthOf = (svg: string): number => Number(/viewBox="0 0 (\d+)/.exec(svg)?.[1])

/** Ends of a text beyond the picture. A letter of a sans-serif font is about 0.54 of its size wide, and 0.62 in bold. */
function cutOff(svg: string): string[] {
  const texts = [...svg.matchAll(/<text x="(\d+)" y="\d+"(?: class="([^"]*)")?>([^<]*)</g)]
  return texts.flatMap(([, x = '0', classes = '', content = '']) => {
    const has = (name: string): boolean => classes.split(' ').includes(name)
    const size = has('huge') ? 44 : has('head') ? 20 : has('note') ? 12 : 14
    const isBold = ['huge', 'head', 'value', 'group'].some(has)
    const length = content.length * size * (isBold ? 0.62 : 0.54)
    const from = Number(x) - (has('end') ? length : has('middle') ? length / 2 : 0)
    return from < 0 || from + length > widthOf(svg) ? [content] : []
  })
}

test('a text that leaves the picture is found', () => {
  const svg =
    '<svg viewBox="0 0 100 50"><text x="90" y="10" class="end">a label of twenty letters</text></svg>'
  assert.deepEqual(cutOff(svg), ['a label of twenty letters'])
})

for (const [name, draw] of Object.entries(pictures)) {
  test(`bench/${name} shows the figures that are checked in`, () => {
    const path = new URL(`../bench/${name}`, import.meta.url)
    assert.equal(readFileSync(path, 'utf8'), draw(), 'run: node bench/draw.ts')
  })

  test(`bench/${name} cuts no text off`, () => {
    assert.deepEqual(cutOff(draw()), [])
  })
}
