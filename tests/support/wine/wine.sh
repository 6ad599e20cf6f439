#!/bin/sh
# Tests a program for Windows under wine: wine.sh PROGRAM.exe [NAME...] runs the tests of the program
# (tests/program, journal.rs, site.rs) on it, all but those of exceptions.txt, or those of these names.
#
# A test calls a script that runs the program under a wine server of its own. Debian's wine is 8.0,
# whose server may break down when a test kills many programs at once, and takes those of other tests
# with it. So tests of killing come last, and what failed is tried once more, alone.
set -eu

here=$(dirname "$(realpath "$0")")
program=$(realpath "$1")
shift
target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
room=$target/wine
PATH=$PATH:$target/zig/bin:/usr/lib/wine
fail() { printf 'wine: %s\n' "$@" >&2; exit 1; }
find_command() {
  for name; do
    if command -v "$name"; then return; fi
  done
  fail "no $1: $hint"
}
hint='apt-get install wine64'
wine=$(find_command wine64 wine)
server=$(find_command wineserver64 wineserver)
hint="python3 -m venv $target/zig && $target/zig/bin/pip install ziglang"
zig=$(find_command python-zig zig)

rm -rf "$room"
mkdir -p "$room/prefix"
cp "$program" "$room/coze-workflow.exe"
"$zig" cc -target x86_64-windows-gnu -O2 -shared -s -o "$room/bcryptprimitives.dll" \
  "$here/bcryptprimitives.c" -ladvapi32
"$zig" cc -target x86_64-windows-gnu -O2 -s -o "$room/hold.exe" "$here/hold.c"
runs() {
  cat >"$room/$1" <<SCRIPT
#!/bin/sh
# wine reads arguments in the locale, and there may be none but this.
export TEST_LC_ALL="\${LC_ALL-}" LC_ALL=C.UTF-8 WINEPREFIX='$room/prefix' WINEDEBUG=-all
exec '$wine' '$2' "\$@"
SCRIPT
  chmod +x "$room/$1"
}
runs coze-workflow "$room/coze-workflow.exe"
runs hold "$room/hold.exe"
runs cmd cmd

export WINEPREFIX="$room/prefix" WINEDEBUG=-all
export COZE_WORKFLOW_PROGRAM="$room/coze-workflow"
# One that waits for programs: each start of it takes seconds, and the first makes the prefix.
start_server() {
  "$server" -k 2>/dev/null || :
  "$server" -w
  "$server" -p </dev/null >/dev/null 2>&1
  "$wine" wineboot </dev/null >/dev/null 2>&1
}
trap '"$server" -k 2>/dev/null || :' EXIT
start_server

# THREADS NAME...: which of these tests fail.
run() {
  threads=$1
  shift
  [ $# != 0 ] || return 0
  cargo test --quiet --locked --test program --test journal --test site --no-fail-fast -- \
    --include-ignored --exact --test-threads "$threads" "$@" >"$room/log" 2>&1 && return
  cat "$room/log" >&2
  names=$(sed -n 's/^    \([a-z0-9_:]*\)$/\1/p' "$room/log" | sort -u | grep -xF "$(printf '%s\n' "$@")") ||
    fail 'cargo test has failed, and no test'
  echo "$names"
}

exceptions=$(sed 's/#.*//' "$here/exceptions.txt" | awk 'NF { print $1 }')
cargo test --quiet --locked --test program --test journal --test site -- --list |
  sed -n 's/: test$//p' >"$room/tests"
for name in $exceptions "$@"; do
  grep -qxF "$name" "$room/tests" || fail "there is no test $name"
done
if [ $# = 0 ]; then
  # shellcheck disable=SC2046 # Names of tests.
  set -- $(grep -vxF "$exceptions" "$room/tests")
fi
calm=$(printf '%s\n' "$@" | grep -v kill || :)
kills=$(printf '%s\n' "$@" | grep kill || :)
# shellcheck disable=SC2086 # Names of tests.
failed="$(run 3 $calm) $(run 1 $kills)"
again=
for name in $failed; do
  echo "wine: once more, alone: $name"
  start_server
  still=$(run 1 "$name")
  again=$again${still:+ $still}
done
[ -z "$again" ] || fail "these do not pass:$again"
echo "wine: $# tests passed, $(echo "$exceptions" | wc -l) are exceptions"
