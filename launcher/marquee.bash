# Bash completion for marquee, worker and pserver: commands, options and their choices, as --help says them.
_marquee() {
  local program=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} help words=
  COMPREPLY=()
  if [ "${program##*/}" != marquee ]; then
    help=$("$program" --help 2>/dev/null)
  elif [ "$COMP_CWORD" -gt 1 ]; then
    help=$("$program" help "${COMP_WORDS[1]}" 2>/dev/null)
  else
    words=$("$program" help 2>/dev/null | sed -n 's/^  \([a-z]\+\)  .*/\1/p')
  fi
  case $previous in
    --*) words=$(sed -n "s/^  $previous \([^ ]* \+\)\?\([^ :]*|[^ :]*\).*/\2/p" <<<"$help" | tr '|' ' ') ;;
  esac
  if [ -z "$words" ] && [ "$COMP_CWORD" = 2 ] && [[ $word != -* ]]; then
    words=$(sed -n '1s/.*\] \([a-z]*|[a-z|]*\).*/\1/p' <<<"$help" | tr '|' ' ')
  fi
  if [ -z "$words" ] && [[ $word == -* ]]; then
    words=$(sed -n 's/^  \(--[a-z0-9-]\+\).*/\1/p' <<<"$help")
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
}
# File names where there is nothing to choose from.
complete -o default -F _marquee marquee worker pserver
