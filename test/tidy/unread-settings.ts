import { isProduct, type Source } from './sources.ts'

const declaration = 'src/install/configuration.ts'

/** Fields of Configuration that no process takes from it: `configuration.mtu`, or `const { mtu } = … configuration`; also by the name `settings`. */
export function unreadSettings(sources: readonly Source[]): readonly string[] {
  const text = sources.find(({ path }) => path === declaration)?.text ?? ''
  const names = [...text.matchAll(/^ {2}readonly (\w+):/gm)].map(([, name = '']) => name)
  const readers = sources
    .filter(({ path }) => isProduct(path) && !path.startsWith('src/install/'))
    .map((source) => source.text)
  const isRead = (name: string): boolean => {
    const reading = new RegExp(
      `(onfiguration|ettings)\\.${name}\\b|\\{[^{}]*\\b${name}\\b[^{}]*\\}(: Configuration|\\s*=\\s*[^\\n]*(onfiguration|ettings|parsed\\.value))|Pick<Configuration,[^>]*'${name}'`,
    )
    return readers.some((each) => reading.test(each))
  }
  return names.filter((name) => !isRead(name))
}
