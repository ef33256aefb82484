import { repository } from './bundle.ts'
import { run } from './run.ts'

/** The npm packages in the executables, the npm package and the image together, as a CycloneDX document. */
export function listMaterials(): string {
  const bill = JSON.parse(run('npm', ['sbom', '--sbom-format=cyclonedx', '--omit=dev'], repository)) as Bill
  // npm names the component after its folder.
  bill.metadata.component.name = 'sallyport'
  // The registry of this machine is not a property of the packages.
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
