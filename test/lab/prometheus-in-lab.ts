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

interface Sample {
  readonly metric: Readonly<Record<string, string>>
  /** Time and value; a range has several. */
  readonly values: readonly (readonly [number, string])[]
}

interface Answer {
  readonly error?: string
  readonly data?: { readonly result: readonly Sample[] }
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
    const objects = JSON.parse(await type(this.#state, 'kubectl get nodes -o json')) as {
      readonly items: readonly {
        readonly metadata: { readonly name: string }
        readonly status: { readonly addresses: readonly { readonly address: string }[] }
      }[]
    }
    const nodes = objects.items.map(({ metadata: { name }, status }) => {
      const ipv4 = status.addresses.find(({ address }) => /^[\d.]+$/.test(address))
      return [name, ipv4?.address ?? ''] as const
    })
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

  /** The answer to each query: the values of its series since the start. */
  async query(exprs: readonly string[]): Promise<readonly (readonly Sample[])[]> {
    const end = Date.now() / 1000
    const script = exprs
      .map((query) => new URLSearchParams({ query, start: `${this.#startedAt}`, end: `${end}`, step: '1' }))
      .map((fields) => `curl -s -d '${fields}' ${at}/api/v1/query_range; echo`)
      .join('\n')
    const text = Buffer.from(script).toString('base64')
    const lines = (await this.#onHost(`sh -c 'echo ${text} | base64 -d | sh'`)).trim().split('\n')
    return exprs.map((expr, index) => {
      const { data, error } = JSON.parse(lines[index] || '{}') as Answer
      if (data === undefined) throw new Error(`${expr}: ${error ?? 'no answer'}`)
      return data.result
    })
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
