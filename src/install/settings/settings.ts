import { processSettings } from './process-settings.ts'
import { isStructured, type Setting } from './setting.ts'
import { workloadSettings } from './workload-settings.ts'

/** All settings, in the order of the help and of values.yaml. */
export const settings: readonly Setting[] = [...processSettings, ...workloadSettings]

/** Whether a setting is a map, an object or a list of objects. */
export const isStructuredPath = (path: string): boolean =>
  settings.some((each) => each.path === path && isStructured(each.kind))
