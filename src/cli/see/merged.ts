import type { ReachedAgent } from './agents.ts'

/** What several agents say, as it comes. An agent that cannot be asked is reported, and the others go on. */
export async function* followAll<T>(
  agents: readonly ReachedAgent[],
  path: string,
  {
    isEndless,
    onFailure,
  }: { readonly isEndless: boolean; readonly onFailure: (node: string, error: unknown) => void },
): AsyncGenerator<T> {
  const queue: T[] = []
  let open = agents.length
  let wake = (): void => {}
  const read = async (agent: ReachedAgent): Promise<void> => {
    try {
      for await (const value of agent.follow<T>(path, isEndless)) {
        queue.push(value)
        wake()
      }
    } catch (error) {
      onFailure(agent.node, error)
    }
    open--
    wake()
  }
  for (const agent of agents) void read(agent)
  while (open > 0 || queue.length > 0) {
    yield* queue.splice(0)
    if (queue.length > 0 || open === 0) continue
    await new Promise<void>((resolve) => {
      wake = resolve
    })
  }
}
