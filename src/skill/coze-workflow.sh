#!/bin/sh
# Runs the coze-workflow for this system and architecture, which is in ../bin:
#   sh "{baseDir}/scripts/coze-workflow.sh" --request '{"workflow_id":"…"}'
# It may be called through symbolic links, and its directory may have any name. Sets the program's
# run bit when an archive has dropped it. Where the program can't be run, answers with exit code 3 as
# the program itself would, and says what to do: never with 126, which names no way out. Writes
# nothing else to disk; needs a shell, uname and chmod, and readlink where it is a link itself, from
# wherever the system keeps them.

# `.` keeps line breaks at the end of a name, which $() takes away.
file=$0
while [ -L "$file" ] && link=$(command -p readlink -- "$file" && printf .); do
  link=${link%??}
  case $file in
    */*) here=${file%/*} ;;
    *) here=. ;;
  esac
  case $link in
    /*) file=$link ;;
    *) file=$here/$link ;;
  esac
done
case $file in
  */*) here=${file%/*}/ ;;
  *) here=./ ;;
esac
skill=$(CDPATH='' cd -P -- "$here.." && printf '%s.' "$PWD") && skill=${skill%.} || skill=$here..
machine=$(command -p uname -sm 2>&1)
case $machine in
  'Linux arm64') name=aarch64 ;;
  'Darwin arm64') name=aarch64-macos ;;
  'Darwin '*) name=${machine#Darwin }-macos ;;
  # A shell for Unix on Windows, as Git brings it.
  MINGW*' x86_64' | MSYS*' x86_64') name=x86_64-windows.exe ;;
  *) name=${machine#Linux } ;;
esac
program=$skill/bin/coze-workflow-$name

if [ -f "$program" ]; then
  [ -x "$program" ] || denied=$(command -p chmod a+x "$program" 2>&1)
  # Its answer is the only proof: mounts and sandboxes forbid what the bits allow, and a file that
  # was cut short would be read as a script by some shells.
  answer=$("$program" --version 2>&1)
  case $answer in
    'coze-workflow '*) exec "$program" "$@" ;;
  esac
  reason=${answer##*: }
  message="$program can't be run here: ${reason:-it says nothing}"
  hint='chmod 755 it as its owner; on a read-only or noexec mount copy it to a directory that programs may run from, chmod 755 it there, and call it there with the same arguments'
  hint_zh='由其所有者执行 chmod 755；若所在目录只读或禁止执行，请复制到允许执行程序的目录，在那里执行 chmod 755，再以同样的参数调用'
else
  message="there is no program for $machine in $skill/bin"
  hint="build one from the source with make static, and put it there as ${program##*/}"
  hint_zh="用源码执行 make static 编译，再以 ${program##*/} 为名放到该目录"
fi
case ${LC_ALL:-${LC_MESSAGES:-${LANG:-}}} in
  [Zz][Hh]*) hint=$hint_zh ;;
esac

# A text on one line. With a second argument its quotes are escaped, as inside a JSON string.
line() {
  rest=$1 done=
  while [ -n "$rest" ]; do
    first=${rest%"${rest#?}"} rest=${rest#?}
    case $first in
      [[:cntrl:]]) first=' ' ;;
      [\"\\]) first=${2:+\\}$first ;;
    esac
    done=$done$first
  done
  printf '%s' "$done"
}

raw='' quiet=''
for word; do
  case $word in
    -r* | -g* | -[qv][rg]* | --raw-output | --get | --get=*) raw=1 ;;
  esac
  case $word in
    -q* | -rq | --quiet) quiet=1 ;;
  esac
done
error="{\"kind\":\"config\",\"message\":\"$(line "$message" json)\",\"hint\":\"$(line "$hint" json)\"}"
response="{\"execute_id\":\"\",\"status\":\"Fail\",\"output\":\"\",\"debug_url\":\"\",\"error\":$error}"
if [ "$raw" ]; then printf '%s\n' "$response" >&2; else printf '%s\n' "$response"; fi
[ "$quiet" ] || printf 'coze-workflow: config: %s (%s)\n' "$(line "$message")" "$hint" >&2
exit 3
