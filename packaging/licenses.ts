import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { repository } from './bundle.ts'

/** The licences of the bundled packages, which require that they are distributed with the code. */
export function collectLicenses(packages: readonly string[]): string {
  return packages.map(licenseOf).join(`\n\n${'-'.repeat(80)}\n\n`)
}

function licenseOf(folder: string): string {
  const path = join(repository, folder)
  const { name, version, license } = JSON.parse(readFileSync(join(path, 'package.json'), 'utf8')) as Record<
    string,
    string
  >
  const files = readdirSync(path).filter((file) => /^(licen[cs]e|notice)/i.test(file))
  const texts = files.map((file) => readFileSync(join(path, file), 'utf8').trim())
  return [`${name} ${version} (${license})`, ...texts].join('\n\n')
}
