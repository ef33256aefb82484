import { repository } from './bundle.ts'
import { run } from './run.ts'

/** What Sallyport is made of, by npm's packages, in CycloneDX: of the executables, the npm package and the image together. */
export function listMaterials(): string {
  const bill = JSON.parse(run('npm', ['sbom', '--sbom-format=cyclonedx', '--omit=dev'], repository)) as Bill
  // npm calls the whole by the folder that it lies in.
  bill.metadata.component.name = 'sallyport'
  // Where this machine happened to fetch packages from says nothing about them.
  for (const part of [bill.metadata.component, ...bill.components])
    part.externalReferences = (part.externalReferences ?? []).filter(({ type }) => type !== 'distribution')
  return `${JSON.stringify(bill, null, 2)}\n`
}

interface Part {
  name: string
  externalReferences?: readonly { readonly type: string }[]
}

interface Bill {
  readonly metadata: { readonly component: Part }
  readonly components: readonly Part[]
}
