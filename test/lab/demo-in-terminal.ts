/** Runs in a terminal: the demo without its steps, as far as the page and the end are concerned. */
import { runDemo } from '../../src/lab/walkthrough/demo.ts'

process.exitCode = await runDemo(
  (line) => void process.stdout.write(`${line}\n`),
  [],
  process.stdin.isTTY && process.stdout.isTTY,
)
