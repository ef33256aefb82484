interface Named {
  readonly name: string
}

/** Since when nodes that have an EgressNode are missing, by name, as a leader has seen it without a gap. */
export class Absences {
  #term: number | undefined
  #sinceMs: ReadonlyMap<string, number> = new Map()

  /** In a new term everything is counted anew: a node may have come and gone while nobody here looked. */
  update(
    {
      nodes,
      egressNodes,
    }: { readonly nodes: readonly Named[]; readonly egressNodes: readonly { readonly metadata: Named }[] },
    term: number | undefined,
    nowMs: number,
  ): ReadonlyMap<string, number> {
    const before = term === this.#term ? this.#sinceMs : new Map<string, number>()
    const present = new Set(nodes.map(({ name }) => name))
    const missing = egressNodes.map(({ metadata }) => metadata.name).filter((name) => !present.has(name))
    this.#term = term
    this.#sinceMs = new Map(missing.map((name) => [name, before.get(name) ?? nowMs]))
    return this.#sinceMs
  }
}
