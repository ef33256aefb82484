/** Registers the tests of several files in one process, for run-file.ts. A process takes longer to start than most files take to run. */
const files = JSON.parse(process.env.SALLYPORT_TEST_FILES ?? '[]') as readonly string[]
for (const file of files) await import(file)
