/**
 * Returns a number of at least 0 and less than 1. Randomness is an argument, as time is, so that a simulation can replay it
 * from a seed.
 */
export type Random = () => number

export const systemRandom: Random = Math.random
