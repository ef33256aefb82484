import { RunningServer } from '../../../src/lab/apiserver/running-server.ts'
import { startControllers } from './controllers.ts'
import { givens } from './given.ts'
import { type Played, play } from './play.ts'
import { readRecording } from './recording.ts'
import { Target } from './target.ts'
import { views } from './views.ts'

/** A request that says until when it was repeated is repeated here for this long. */
const patienceMs = 1_500

/** Files whose answers controllers have a part in. */
const withControllers = new Set(['apply', 'reads', 'rights', 'admission'])

/** Plays a recording against an embedded API server of its own. */
export async function playEmbedded(file: string): Promise<Played[]> {
  await using server = await RunningServer.open()
  await using _ = withControllers.has(file) ? startControllers(server) : undefined
  const target = new Target({ server: server.url, ca: server.ca, token: () => server.adminToken })
  await givens[file]?.(target)
  const played: Played[] = []
  for await (const each of play(target, readRecording(file), patienceMs, views[file])) played.push(each)
  return played
}
