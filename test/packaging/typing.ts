import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Shell } from '../../src/cli/completion/shells.ts'

const prompt = 'ready>'
const timeoutMs = 60_000

/** What each shell reads first: the completion of the command, as its help tells people to load it, and a prompt to wait for. */
const starts: Readonly<Record<Shell, readonly [file: string, text: string, words: string]>> = {
  bash: ['rc', `source <(sallyport completion bash)\nPS1='${prompt}'\n`, 'bash --noprofile --rcfile rc -i'],
  zsh: [
    '.zshrc',
    `autoload -U compinit && compinit -u -D\nsource <(sallyport completion zsh)\nbindkey -e\nPROMPT='${prompt}'\n`,
    'zsh -i',
  ],
  fish: [
    'rc.fish',
    `sallyport completion fish | source\nfunction fish_prompt; echo -n '${prompt}'; end\nset fish_greeting\n`,
    'fish --no-config --init-command "source rc.fish"',
  ],
}

/**
 * Types each line into one interactive shell, on a terminal of its own, and returns the command lines that came of them: ctrl-A and
 * `echo` let the shell print a line instead of running it. A tab in a line is the key.
 */
export async function typeInto(
  shell: Shell,
  bin: string,
  typed: readonly string[],
): Promise<readonly string[]> {
  const home = mkdtempSync(join(tmpdir(), 'sallyport-shell-'))
  const [file, text, words] = starts[shell]
  writeFileSync(join(home, file), text)
  writeFileSync(join(home, 'values.yaml'), '')
  const child = spawn('script', ['-qfec', words, '/dev/null'], {
    cwd: home,
    env: { HOME: home, ZDOTDIR: home, PATH: `${bin}:/usr/bin:/bin`, TERM: 'dumb', LANG: 'C.UTF-8' },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: timeoutMs,
    killSignal: 'SIGKILL',
  })
  try {
    const printed: string[] = []
    let isTyping = false
    let screen = ''
    for await (const output of child.stdout.setEncoding('utf8')) {
      screen += output
      const [text, line] = /^<\s?(.*?)\s*>\r?$/m.exec(screen) ?? []
      if (text !== undefined && line !== undefined) {
        printed.push(line)
        screen = screen.slice(screen.indexOf(text) + text.length)
        isTyping = false
      }
      if (isTyping || !screen.includes(prompt)) continue
      const next = typed[printed.length]
      if (next === undefined) break
      child.stdin.write(`${next}\u0001echo '<'\u0005'>'\r`)
      isTyping = true
    }
    return printed
  } finally {
    child.kill('SIGKILL')
    /* A command that the shell has started may write for a moment more. */
    rmSync(home, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
  }
}
