import { execFileSync } from 'node:child_process'
import type { LabState } from '../../src/lab/lab-state.ts'
import { type } from './lab-under-test.ts'

/** Why a real Prometheus cannot run here; false if it can. */
export function prometheusMissing(): string | false {
  try {
    execFileSync('sh', ['-c', 'command -v prometheus && command -v promtool'])
    return false
  } catch {
    return 'prometheus is missing: run apt-get install prometheus'
  }
}

const folder = '/run/prometheus'
const at = 'http://127.0.0.1:9090'
/** Prometheus runs in the network namespace of this node, and listens only inside it. */
const host = 'kind-control-plane'

export interface Sample {
  readonly metric: Readonly<Record<string, string>>
  /** Time and value; a range has several. */
  readonly values: readonly (readonly [number, string])[]
}

/** A Prometheus in the lab that scrapes every second. */
export class PrometheusInLab {
  readonly #state: LabState
  readonly #startedAt = Date.now() / 1000

  constructor(state: LabState) {
    this.#state = state
  }

  #onHost(command: string): Promise<string> {
    return type(this.#state, `docker exec ${host} ${command}`)
  }

  async #write(file: string, content: object): Promise<void> {
    const text = Buffer.from(JSON.stringify(content)).toString('base64')
    await this.#onHost(`sh -c 'mkdir -p ${folder} && echo ${text} | base64 -d >${folder}/${file}'`)
  }

  /** `rules` are those of a file of rules. */
  async start(jobs: Readonly<Record<string, number>>, rules: object): Promise<void> {
    const addresses = await type(
      this.#state,
      'kubectl get nodes -o jsonpath=\'{range .items[*]}{.metadata.name}={.status.addresses[?(@.type=="InternalIP")].address} {end}\'',
    )
    const nodes = addresses
      .trim()
      .split(' ')
      .map((each) => each.split('='))
    await this.#write('rules.json', rules)
    await this.#write('prometheus.json', {
      global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
      rule_files: [`${folder}/rules.json`],
      scrape_configs: Object.entries(jobs).map(([job_name, port]) => ({
        job_name,
        static_configs: nodes.map(([node, address]) => ({
          targets: [`${address}:${port}`],
          labels: { node },
        })),
      })),
    })
    const flags = `--config.file=${folder}/prometheus.json --storage.tsdb.path=${folder}/data --web.listen-address=127.0.0.1:9090`
    await this.#onHost(
      `sh -c 'setsid prometheus ${flags} >${folder}/log 2>&1 </dev/null & echo $! >${folder}/pid'`,
    )
  }

  async stop(): Promise<void> {
    await this.#onHost(`sh -c 'kill $(cat ${folder}/pid) || true; rm -rf ${folder}'`)
  }

  /** A value for each series that has one in the time since the start. */
  async query(expr: string): Promise<readonly Sample[]> {
    const now = Date.now() / 1000
    const encoded = [`query=${expr}`, `start=${this.#startedAt}`, `end=${now}`, 'step=1']
      .map((field) => `--data-urlencode '${field.replaceAll("'", `'"'"'`)}'`)
      .join(' ')
    const answer = JSON.parse(await this.#onHost(`curl -s ${encoded} ${at}/api/v1/query_range`)) as {
      readonly status: string
      readonly error?: string
      readonly data?: { readonly result: readonly Sample[] }
    }
    if (answer.data === undefined) throw new Error(`${expr}: ${answer.error}`)
    return answer.data.result
  }

  /** The alerts that fire, with their labels. */
  async firing(): Promise<readonly Readonly<Record<string, string>>[]> {
    const answer = JSON.parse((await this.#onHost(`curl -s ${at}/api/v1/alerts`)) || '{}') as {
      readonly data?: {
        readonly alerts: readonly { readonly state: string; readonly labels: Record<string, string> }[]
      }
    }
    return (answer.data?.alerts ?? []).filter(({ state }) => state === 'firing').map(({ labels }) => labels)
  }
}
