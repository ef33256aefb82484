import { Argument, type Command } from 'commander'
import { print } from '../output.ts'

export function addCompletion(program: Command): void {
  program
    .command('completion')
    .description('print a script that completes commands, options and settings in your shell')
    .addArgument(new Argument('<shell>', 'your shell').choices(['bash', 'zsh', 'fish']))
    .addHelpText(
      'after',
      `
In the current shell:
  bash   source <(sallyport completion bash)         bash 4 or later
  zsh    source <(sallyport completion zsh)          after compinit
  fish   sallyport completion fish | source

In all new shells:
  bash   sallyport completion bash > ~/.local/share/bash-completion/completions/sallyport
  zsh    sallyport completion zsh > FOLDER/_sallyport     FOLDER is one of your $fpath
  fish   sallyport completion fish > ~/.config/fish/completions/sallyport.fish

For "kubectl sallyport", add a link named kubectl_complete-sallyport to your PATH, beside kubectl-sallyport. kubectl's own
completion then calls it.`,
    )
    .action(async (shell: 'bash' | 'zsh' | 'fish') => {
      const { completionScripts } = await import('../completion/shells.ts')
      print(completionScripts[shell].trimEnd())
    })
}
