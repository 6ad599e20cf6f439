# The options of a help text, whose form is in src/cli/help.rs, become a completion script:
#   awk -v shell=bash -f completions.awk en.txt > coze-workflow
# What may follow an option is told by the name of its value: FILE, DIR, NAME=VALUE (which may name a
# file after an @), or one of these words.

BEGIN { choices["--service"] = "coze studio site"; choices["--rerun"] = "unknown failed" }

# `  -c, --config FILE  words`, `      --async  words`
/^  (-[^-], |    )--/ {
  n++
  term = substr($0, 3)
  sub(/^ */, "", term)
  if (match(term, /  +/)) { words[n] = substr(term, RSTART + RLENGTH); term = substr(term, 1, RSTART - 1) }
  if (term ~ /^-[^-]/) { short[n] = substr(term, 1, 2); sub(/^-., /, "", term) }
  value[n] = term; sub(/^[^ ]* ?/, "", value[n])
  sub(/ .*/, "", term); long[n] = term
  goes_on = 1
  next
}

# Goes on with the words of an entry.
goes_on && /^       / { sub(/^ */, ""); words[n] = words[n] (words[n] ? " " : "") $0; next }
{ goes_on = 0 }

# One thought is enough on a line.
function said(i,  text) {
  text = words[i]
  sub(/;.*/, "", text)
  sub(/ \(default [^)]*\)/, "", text)
  return text
}

function quoted(text) { gsub(/'/, "'\\''", text); return "'" text "'" }

# Where a pattern of bash lists it.
function pattern(i) { return (short[i] ? short[i] "|" : "") long[i] }

function bash(  i, all, files, directories, others) {
  print "# bash completion for coze-workflow, made from its help.\n"
  print "_coze_workflow() {"
  print "  local IFS=$' \\t\\n' word current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}"
  print "  for word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do"
  print "    if [[ $word == -- ]]; then return; fi"
  print "  done"
  print "  # The sign before a file is a part of its word: NAME@FILE, NAME=@FILE, NAME:=@FILE."
  print "  if [[ $2 == @* ]]; then"
  print "    IFS=$'\\n'"
  print "    COMPREPLY=($(compgen -P @ -f -- \"${2#@}\"))"
  print "    compopt -o filenames -o nospace 2>/dev/null"
  print "    return"
  print "  fi"
  print "  # --name=value comes as three words."
  print "  if [[ $current == = ]]; then current="
  print "  elif [[ $before == = ]]; then before=${COMP_WORDS[COMP_CWORD-2]}"
  print "  fi"
  print "  # Nothing given back is a file's name. An older bash, without compopt, offers one everywhere."
  print "  case $before in"
  for (i = 1; i <= n; i++) {
    all = all (all ? " " : "") (short[i] ? short[i] " " : "") long[i]
    if (long[i] in choices)
      print "    " pattern(i) ") COMPREPLY=($(compgen -W '" choices[long[i]] "' -- \"$current\")); return ;;"
    else if (value[i] == "FILE") files = files (files ? "|" : "") pattern(i)
    else if (value[i] == "DIR") directories = directories (directories ? "|" : "") pattern(i)
    else if (value[i]) others = others (others ? "|" : "") pattern(i)
  }
  if (files) print "    " files ") return ;;"
  if (directories) print "    " directories ") compopt -o dirnames +o default 2>/dev/null; return ;;"
  if (others) print "    " others ") compopt +o default 2>/dev/null; return ;;"
  print "  esac"
  print "  if [[ $current == -* ]]; then"
  print "    COMPREPLY=($(compgen -W '" all "' -- \"$current\"))"
  print "  fi"
  print "}\n"
  print "complete -o default -F _coze_workflow coze-workflow"
}

# An option with a value may be given again: its last value counts, or all do.
function zsh(  i, text, action, names) {
  print "#compdef coze-workflow"
  print "# zsh completion for coze-workflow, made from its help.\n"
  print "# NAME@FILE, NAME=@FILE, NAME:=@FILE"
  print "_coze_workflow_parameter() { compset -P '[^=@]#(=|)@' && _files }\n"
  print "_arguments -s -S \\"
  for (i = 1; i <= n; i++) {
    text = said(i)
    gsub(/\[|\]|:|\\/, "\\\\&", text)
    action = long[i] in choices ? "(" choices[long[i]] ")" : value[i] == "FILE" ? "_files" : value[i] == "DIR" ? "_files -/" : value[i] == "NAME=VALUE" ? "_coze_workflow_parameter" : " "
    text = "[" text "]" (value[i] ? ":" value[i] ":" action : "")
    names = value[i] ? short[i] "+," long[i] "=" : short[i] "," long[i]
    if (!short[i]) names = quoted((value[i] ? "*" long[i] "=" : long[i]) text)
    else names = quoted(value[i] ? "*" : "(" short[i] " " long[i] ")") "{" names "}" quoted(text)
    print "  " names " \\"
  }
  print "  '*:FILE:_files'"
}

function fish(  i, text, takes) {
  print "# fish completion for coze-workflow, made from its help.\n"
  print "# NAME@FILE, NAME=@FILE, NAME:=@FILE"
  print "function __coze_workflow_parameter"
  print "  set -l parts (string match -r '^(?:--param=)?([^=@]*=?@)(.*)' -- (commandline -ct))"
  print "  and printf '%s\\n' $parts[2](__fish_complete_path $parts[3])"
  print "end\n"
  for (i = 1; i <= n; i++) {
    text = said(i)
    gsub(/\\/, "\\\\\\\\", text)
    gsub(/'/, "\\\\'", text)
    takes = long[i] in choices ? " -x -a '" choices[long[i]] "'" : value[i] == "FILE" ? " -r -F" : value[i] == "DIR" ? " -x -a '(__fish_complete_directories)'" : value[i] == "NAME=VALUE" ? " -x -a '(__coze_workflow_parameter)'" : value[i] ? " -x" : ""
    print "complete -c coze-workflow" (short[i] ? " -s " substr(short[i], 2) : "") " -l " substr(long[i], 3) takes " -d '" text "'"
  }
}

END {
  if (shell == "bash") bash()
  else if (shell == "zsh") zsh()
  else if (shell == "fish") fish()
  else exit 1
}
