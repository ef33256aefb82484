import { Worker } from 'node:worker_threads'
import type { Datapath } from '../../../datapath/datapath.ts'
import type { RawMap } from '../../../datapath/maps/maps.ts'
import type { Logger } from '../../../runtime/log.ts'
import type { FromProber, StartProber } from './messages.ts'

export interface ProberThreadData {
  readonly objectFile: string
  readonly maps: { readonly liveness: RawMap; readonly probed_gateways: RawMap; readonly links: RawMap }
  readonly flags: SharedArrayBuffer
  readonly tunnelPort: number
}

/** A prober in a thread of its own. See worker.ts. */
export function proberThread(datapath: Datapath, tunnelPort: number, log: Logger): StartProber {
  return ({ flags, report }) => {
    const { tables } = datapath
    const data: ProberThreadData = {
      objectFile: datapath.objectFile,
      maps: {
        liveness: tables.liveness.raw,
        probed_gateways: tables.probed_gateways.raw,
        links: tables.links.raw,
      },
      flags: flags.buffer as SharedArrayBuffer,
      tunnelPort,
    }
    const worker = new Worker(new URL('./worker.ts', import.meta.url), {
      workerData: data,
      execArgv: ['--disable-warning=ExperimentalWarning'],
      resourceLimits: { maxOldGenerationSizeMb: 24, maxYoungGenerationSizeMb: 2 },
    })
    worker.on('message', (message: FromProber) => report(message))
    /* Without the thread, other nodes count this node as dead, and it judges no gateway. So the agent restarts. */
    worker.on('error', (error) => {
      log.fatal({ err: error }, 'the thread that probes gateways failed')
      process.exit(1)
    })
    return {
      send: (message) => worker.postMessage(message),
      stop: async () => {
        await worker.terminate()
      },
    }
  }
}
