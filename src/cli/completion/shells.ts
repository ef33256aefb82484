/**
 * A completion script for each shell. The scripts call the hidden command `__complete`, so that they work with any installed version.
 * It prints one candidate per line and then a directive: src/cli/completion/candidates.ts.
 */
export const shells = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof shells)[number]

/** Bash splits words at "=" and ":" and replaces only the part after them. */
const bash = `# bash completion for sallyport
_sallyport() {
  local typed=\${COMP_LINE:0:COMP_POINT} line directive=0 kept
  local -a words lines
  read -ra words <<<"$typed"
  case $typed in *[[:space:]]) words+=("") ;; esac
  mapfile -t lines < <("\${words[0]/#\\~/$HOME}" __complete "\${words[@]:1}" 2>/dev/null)
  COMPREPLY=()
  for line in "\${lines[@]}"; do
    case $line in
      :*) directive=\${line#:} ;;
      *) COMPREPLY+=("\${line%%$'\\t'*}") ;;
    esac
  done
  local current=\${words[\${#words[@]}-1]}
  if ((directive == 0)); then mapfile -t COMPREPLY < <(compgen -f -- "\${current##*=}"); compopt -o filenames; fi
  if ((directive & 16)); then mapfile -t COMPREPLY < <(compgen -d -- "\${current##*=}"); compopt -o filenames; fi
  if ((directive & 2)); then compopt -o nospace; fi
  if ((directive & 6)) && [[ $current == *[=:]* && $COMP_WORDBREAKS == *=* ]]; then
    kept=\${current%"\${current##*[=:]}"}
    COMPREPLY=("\${COMPREPLY[@]#"$kept"}")
  fi
}
complete -F _sallyport sallyport
`

const zsh = `#compdef sallyport
# zsh completion for sallyport
_sallyport() {
  local -a lines values after
  local line directive=0
  lines=("\${(@f)$("\${(Q)words[1]/#\\~/$HOME}" __complete "\${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
  for line in "\${lines[@]}"; do
    case $line in
      :<->) directive=\${line#:} ;;
      *$'\\t'*) values+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}") ;;
      ?*) values+=("\${line//:/\\\\:}") ;;
    esac
  done
  if ((directive == 0)); then _files; return; fi
  if ((directive & 16)); then _files -/; return; fi
  if ((directive & 2)); then after=(-S ''); fi
  _describe sallyport values "\${after[@]}"
}
if [[ \${funcstack[1]} == _sallyport ]]; then _sallyport "$@"; else compdef _sallyport sallyport; fi
`

const fish = `# fish completion for sallyport
function __sallyport_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l lines ($words[1] __complete $words[2..] "$current" 2>/dev/null)
    set -q lines[1]; or return
    switch $lines[-1]
        case :0
            __fish_complete_path "$current"
        case :16
            __fish_complete_directories "$current"
        case '*'
            printf '%s\\n' $lines[1..-2]
    end
end
complete --command sallyport --no-files --arguments '(__sallyport_complete)'
`

export const completionScripts: Readonly<Record<Shell, string>> = { bash, zsh, fish }
