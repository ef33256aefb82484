/** `make test-fast` has time for a part of the random cases. `make test`, and a test file run alone, have all. */
const share = Number(process.env.SALLYPORT_TEST_RANDOM_SHARE ?? 1)

/** How many of this many random cases to try. */
export const randomRuns = (all: number): number => Math.ceil(all * share)
