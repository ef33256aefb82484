import { RunningServer } from '../../support/running-server.ts'
import { startControllers } from './controllers.ts'
import { givens } from './given.ts'
import { readListed } from './listed.ts'
import { type Played, play } from './play.ts'
import { type Entry, readRecording } from './recording.ts'
import { Target } from './target.ts'
import { views } from './views.ts'

/** A request that says until when it was repeated is repeated here for this long. */
const patienceMs = 10_000
/** For one that is listed: that it is reached all the same would be told. */
const briefMs = 300

/** Files whose answers controllers have a part in. */
const withControllers = new Set(['apply', 'reads', 'rights', 'admission'])

/** Plays a recording against an embedded API server of its own. */
export async function playEmbedded(file: string, entries = readRecording(file)): Promise<Played[]> {
  return withEmbedded(file, async (target) => {
    await givens[file]?.(target)
    const listed = new Set(readListed(file).flatMap((each) => each.entries))
    const patience = ({ name }: Entry): number => (listed.has(name) ? briefMs : patienceMs)
    const played: Played[] = []
    for await (const each of play(target, entries, patience, views[file])) played.push(each)
    return played
  })
}

/** An embedded API server, with the lab's controllers where the file needs them. */
export async function withEmbedded<T>(file: string, work: (target: Target) => Promise<T>): Promise<T> {
  await using server = await RunningServer.open()
  await using _ = withControllers.has(file) ? startControllers(server) : undefined
  const target = new Target({ server: server.url, ca: server.ca, token: () => server.adminToken })
  return await work(target)
}
