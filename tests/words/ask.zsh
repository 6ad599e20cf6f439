# What zsh offers for each line: its own engine, at a terminal where TAB is typed. Writes one match a line
# to ../offered, and % after those of a line. In a directory beside this file and the completion:
#   zsh -f ../ask.zsh 'coze-workflow --' 'coze-workflow -c '

# In the shell at the terminal.
if [[ -o interactive ]]; then
  stty -echo
  fpath=(${PWD:h} $fpath)
  autoload -U compinit
  compinit -u -D
  compadd() {
    # Some calls only ask which would match.
    if [[ ${@[1,(i)(-|--)]} != *-[OAD]\ * ]]; then
      local -a matches
      builtin compadd -A matches "$@"
      print -rl -- $matches >> ../offered
    fi
    builtin compadd "$@"
  }
  offer() {
    zle complete-word
    print % >> ../offered
    BUFFER=
    print OFFERED
  }
  zle -N offer
  bindkey '^I' offer
  setopt no_auto_list no_beep
  print READY
  return
fi

zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'source ../ask.zsh'
zpty -r shell shown '*READY*'
for line; do
  zpty -n -w shell "$line"$'\t'
  zpty -r shell shown '*OFFERED*'
done
