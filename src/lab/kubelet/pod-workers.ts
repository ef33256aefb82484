import { eagerPeriodMs } from './containers/probes.ts'
import type { Waiting } from './status.ts'

/** The state of the work on one pod. */
export interface Worker {
  failures: number
  retryAtMs: number
  /** By container: why it does not run. */
  readonly waiting: Map<string, Waiting>
  /** The last logged message, so that the same message is not logged again. */
  loggedMessage: string | undefined
}

interface Turn {
  readonly worker: Worker
  isBusy: boolean
  isPending: boolean
  isEager: boolean
}

interface Work {
  readonly sync: (uid: string, worker: Worker) => Promise<void>
  readonly onFailure: (uid: string, worker: Worker, error: unknown) => void
}

/** Works on each pod in one place at a time. A change that arrives meanwhile causes another turn. */
export class PodWorkers {
  readonly #work: Work
  readonly #turns = new Map<string, Turn>()

  constructor(work: Work) {
    this.#work = work
  }

  look(uid: string): void {
    const turn = this.#turnOf(uid)
    if (turn.isBusy) {
      turn.isPending = true
      return
    }
    turn.isBusy = true
    this.#work
      .sync(uid, turn.worker)
      .catch((error: unknown) => this.#work.onFailure(uid, turn.worker, error))
      .finally(() => {
        turn.isBusy = false
        if (!turn.isPending) return
        turn.isPending = false
        this.look(uid)
      })
  }

  /** For a container that is not ready yet: its probe is asked again soon. */
  lookSoon(uid: string): void {
    const turn = this.#turnOf(uid)
    if (turn.isEager) return
    turn.isEager = true
    setTimeout(() => {
      turn.isEager = false
      this.look(uid)
    }, eagerPeriodMs).unref()
  }

  forget(uid: string): void {
    this.#turns.delete(uid)
  }

  #turnOf(uid: string): Turn {
    const turn = this.#turns.get(uid) ?? {
      worker: { failures: 0, retryAtMs: 0, waiting: new Map<string, Waiting>(), loggedMessage: undefined },
      isBusy: false,
      isPending: false,
      isEager: false,
    }
    this.#turns.set(uid, turn)
    return turn
  }
}
