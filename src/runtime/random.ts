/** At least 0 and less than 1. Chance is an argument, as time is: a simulation replays it from a seed. */
export type Random = () => number

export const systemRandom: Random = Math.random
