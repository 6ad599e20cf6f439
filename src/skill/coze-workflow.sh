#!/bin/sh
# Runs the coze-workflow for this machine's architecture, which lies in ../bin:
#   sh "{baseDir}/scripts/coze-workflow.sh" --request '{"workflow_id":"…"}'
# Sets its run bit when an archive has dropped it. Where it can't be run, answers with exit code 3 as
# the program itself would, and says what to do: never with 126, which names no way out. Writes
# nothing else to disk; needs a shell, uname and chmod, from wherever the system keeps them.

case $0 in
  */*) here=${0%/*} ;;
  *) here=. ;;
esac
skill=$(CDPATH='' cd -- "$here/.." && pwd)
machine=$(command -p uname -sm 2>&1)
[ "$machine" != 'Linux arm64' ] || machine='Linux aarch64'
program=$skill/bin/coze-workflow-${machine#Linux }

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

# A text, as it stands inside a JSON string.
quoted() {
  rest=$1 done=
  while [ -n "$rest" ]; do
    first=${rest%"${rest#?}"} rest=${rest#?}
    case $first in
      [\"\\]) done=$done\\$first ;;
      [[:cntrl:]]) done="$done " ;;
      *) done=$done$first ;;
    esac
  done
  printf '%s' "$done"
}

raw='' quiet=''
for word; do
  case $word in
    -r | --raw-output) raw=1 ;;
    -q | --quiet) quiet=1 ;;
  esac
done
error="{\"kind\":\"config\",\"message\":\"$(quoted "$message")\",\"hint\":\"$(quoted "$hint")\"}"
response="{\"execute_id\":\"\",\"status\":\"Fail\",\"output\":\"\",\"debug_url\":\"\",\"error\":$error}"
if [ "$raw" ]; then printf '%s\n' "$response" >&2; else printf '%s\n' "$response"; fi
[ "$quiet" ] || printf 'coze-workflow: config: %s (%s)\n' "$message" "$hint" >&2
exit 3
