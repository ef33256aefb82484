import type { ClusterAccess } from '../../src/kube/access.ts'
import { defaultTimeoutMs, KubeClient } from '../../src/kube/client.ts'
import { adminToken, type SimulatedApi } from './api.ts'
import { ByteStream } from './byte-stream.ts'
import type { SimulatedProcess } from './process.ts'
import type { Random } from './random.ts'
import type { VirtualClock } from './virtual-clock.ts'
import { WatchConnection } from './watch-connection.ts'

type Call = Parameters<KubeClient['send']>[0]
type Response = Awaited<ReturnType<KubeClient['send']>>

/** What happens to requests between processes and the API server. All off: a healthy network. */
export class ApiFaults {
  /** Nothing comes through: requests wait for their deadline, watches are silent. Since when, by machine; `*`: of all. */
  readonly cut = new Map<string, number>()
  /** The server does not listen: requests fail at once. */
  isDown = false
  /** So many in a hundred requests are answered with 429. */
  throttledPercent = 0
  /** So many in a hundred writes happen and their answers are lost. */
  lostAnswerPercent = 0
  /** So many in a hundred writes are refused as if another client had been first. */
  conflictPercent = 0
  /** So many in a hundred watches that begin are told that their version is too old. */
  tooOldPercent = 0
  /** Watches of one kind come late, each by as much; ms by plural. */
  readonly watchLagMs = new Map<string, number>()

  get isActive(): boolean {
    const percents =
      this.throttledPercent + this.lostAnswerPercent + this.conflictPercent + this.tooOldPercent
    return this.cut.size > 0 || this.isDown || this.watchLagMs.size > 0 || percents > 0
  }

  clear(): void {
    this.cut.clear()
    this.watchLagMs.clear()
    this.isDown = false
    this.throttledPercent = this.lostAnswerPercent = this.conflictPercent = this.tooOldPercent = 0
  }
}

/** All connections to the API server. */
export class ApiNetwork {
  readonly faults = new ApiFaults()
  readonly api: SimulatedApi
  readonly clock: VirtualClock
  readonly random: Random
  readonly watches = new Set<WatchConnection>()
  #troubledAtUs = Number.NEGATIVE_INFINITY

  constructor(api: SimulatedApi, clock: VirtualClock, random: Random) {
    this.api = api
    this.clock = clock
    this.random = random
  }

  /** When requests or watches were last disturbed: now, while they are. */
  get troubledAtUs(): number {
    if (this.faults.isActive) this.#troubledAtUs = this.clock.nowUs
    return this.#troubledAtUs
  }

  isCut(machine: string): boolean {
    return this.faults.cut.has(machine) || this.faults.cut.has('*')
  }

  /** `*`: all machines. */
  cut(machine: string): void {
    this.faults.cut.set(machine, this.clock.nowUs)
  }

  /** Connections of before go on, if nothing on the way has forgotten them. */
  mend(machine: string, forgets: boolean): void {
    const cutMs = (this.clock.nowUs - (this.faults.cut.get(machine) ?? this.clock.nowUs)) / 1000
    this.faults.cut.delete(machine)
    for (const watch of [...this.watches]) {
      if (machine !== '*' && watch.machine !== machine) continue
      /* A kernel that gets no answer waits twice as long each time: its next try comes before the cut's time has passed again. */
      if (forgets) watch.forget()
      else watch.resume(this.random.next() * cutMs)
    }
  }

  breakWatches(): void {
    for (const watch of [...this.watches]) watch.break('connection reset by peer')
  }

  /** One way, in ms. */
  travelMs(): number {
    return 0.2 + this.random.next() * 3
  }
}

const access: ClusterAccess = { server: 'https://api', token: () => adminToken }

function refusal(code: number, reason: string, message: string): string {
  return JSON.stringify({ kind: 'Status', apiVersion: 'v1', status: 'Failure', code, reason, message })
}

/** The real client, whose requests reach the embedded API server over a network that can fail. */
export class ApiLink extends KubeClient {
  readonly #network: ApiNetwork
  readonly #process: SimulatedProcess
  readonly #machine: string

  constructor(network: ApiNetwork, process: SimulatedProcess, machine: string) {
    super(access, { userAgent: process.name, clock: process.clock })
    this.#network = network
    this.#process = process
    this.#machine = machine
  }

  override send(call: Call): Promise<Response> {
    this.#process.touch()
    const { network, faults } = { network: this.#network, faults: this.#network.faults }
    return new Promise((resolve, reject) => {
      const { signal } = call
      const fail = (error: unknown): void => this.#process.deliver(() => reject(error as Error))
      if (signal?.aborted) return fail(signal.reason)
      signal?.addEventListener('abort', () => fail(signal.reason))
      network.clock.after(defaultTimeoutMs, () => fail(new Error('Headers Timeout Error')))
      if (network.isCut(this.#machine)) return
      network.clock.after(network.travelMs(), () => {
        if (faults.isDown) return fail(new Error('connect ECONNREFUSED'))
        if (this.#process.isDead) return
        if (network.isCut(this.#machine)) return
        this.#arrive(call, resolve, fail)
      })
    })
  }

  #arrive(call: Call, resolve: (response: Response) => void, fail: (error: unknown) => void): void {
    const { faults, random } = this.#network
    const isWrite = call.method !== 'GET'
    const refuse = (code: number, reason: string, headers = {}): void =>
      this.#answer(resolve, { code, headers, text: refusal(code, reason, `simulated: ${reason}`) })
    if (random.percent(faults.throttledPercent)) {
      refuse(429, 'TooManyRequests', { 'retry-after': '1' })
      return
    }
    if (isWrite && random.percent(faults.conflictPercent)) {
      refuse(409, 'Conflict')
      return
    }
    if (call.query?.watch === 'true') {
      this.#watch(call, resolve)
      return
    }
    const isLost = isWrite && random.percent(faults.lostAnswerPercent)
    let code = 0
    let headers = {}
    let text = ''
    this.#network.api.serve(requestOf(call), {
      head: (given, more) => {
        code = given
        headers = more
      },
      text: (more) => {
        text += more
      },
      end: () =>
        isLost ? fail(new Error('read ECONNRESET')) : this.#answer(resolve, { code, headers, text }),
    })
  }

  #answer(
    resolve: (response: Response) => void,
    { code, headers, text }: { code: number; headers: object; text: string },
  ): void {
    const { clock } = this.#network
    clock.after(this.#network.travelMs(), () => {
      if (this.#network.isCut(this.#machine)) return
      const body = new ByteStream()
      body.push(Buffer.from(text))
      body.end()
      this.#process.deliver(() => resolve({ statusCode: code, headers, body } as unknown as Response))
    })
  }

  /** Lines reach the client in their order, later than they were sent, and watches of two kinds not in step. */
  #watch(call: Call, resolve: (response: Response) => void): void {
    const network = this.#network
    const { faults, clock } = network
    const plural = call.path.split('/').at(-1) ?? ''
    const connection = new WatchConnection({
      machine: this.#machine,
      process: this.#process,
      clock,
      isCut: () => network.isCut(this.#machine),
      onEnd: () => network.watches.delete(connection),
    })
    const { body } = connection
    const later = (run: () => void): void =>
      connection.carry(network.travelMs() + (faults.watchLagMs.get(plural) ?? 0), run)
    network.watches.add(connection)
    let hasHead = false
    clock.after(defaultTimeoutMs, () => hasHead || connection.abort())
    const begin = (code: number, headers: object): void => {
      hasHead = true
      resolve({ statusCode: code, headers, body } as unknown as Response)
    }
    call.signal?.addEventListener('abort', () => connection.abort())
    if (network.random.percent(faults.tooOldPercent)) {
      const gone = refusal(410, 'Expired', 'too old resource version')
      later(() => begin(200, {}))
      later(() => body.push(Buffer.from(`{"type":"ERROR","object":${gone}}\n`)))
      later(() => body.end())
      return
    }
    connection.exchange = network.api.serve(requestOf(call), {
      head: (code, headers) => later(() => begin(code, headers)),
      text: (text) => later(() => body.push(Buffer.from(text))),
      end: () => later(() => body.end()),
    })
  }
}

function requestOf({ method, path, query = {}, body, contentType }: Call) {
  const pairs = Object.entries(query).filter((pair): pair is [string, string] => pair[1] !== undefined)
  const search = new URLSearchParams(pairs).toString()
  return {
    method,
    path: `${path}${search === '' ? '' : `?${search}`}`,
    headers: {
      accept: 'application/json',
      authorization: `Bearer ${adminToken}`,
      ...(body === undefined ? {} : { 'content-type': contentType ?? 'application/json' }),
    },
    body: body === undefined ? undefined : JSON.stringify(body),
  }
}
