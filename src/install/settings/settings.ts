import { processSettings } from './process-settings.ts'
import { isStructured, type Setting } from './setting.ts'
import { workloadSettings } from './workload-settings.ts'

/** All of them, in the order in which help and values.yaml list them. */
export const settings: readonly Setting[] = [...processSettings, ...workloadSettings]

/** Whether a setting is a map, an object or a list of objects. */
export const isStructuredPath = (path: string): boolean =>
  settings.some((each) => each.path === path && isStructured(each.kind))
