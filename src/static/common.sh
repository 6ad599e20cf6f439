# What build.sh, foreign.sh and all.sh share. They read this first.

cd "$(dirname "$0")/../.."
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR="$target_dir"
cargo_home=${CARGO_HOME:-$HOME/.cargo}
debian_rust='rustc-web cargo-web rust-web-src'

say() { printf 'static: %s\n' "$*"; }
fail() { say "$@" >&2; exit 1; }

# lacks WHAT COMMAND ARGUMENTS: what is missing, and what brings it. All of it is told in one line: by
# all.sh if that has named a file for it, LACKING.
lacking=
lacks() {
  lacking="$lacking$1	$2	$3
"
}
tell_what_is_lacking() {
  say "$(printf '%s' "$lacking" | awk -F '\t' '
    !seen[$1]++ { what = what (what ? ", no " : "no ") $1 }
    !($2 in arguments) { order[++commands] = $2; arguments[$2] }
    {
      count = split($3, words, " ")
      for (i = 1; i <= count; i++) if (!seen[$2, words[i]]++) arguments[$2] = arguments[$2] " " words[i]
    }
    END {
      printf "%s: ", what
      for (i = 1; i <= commands; i++) printf "%s", (i > 1 ? " && " : "") order[i] arguments[order[i]]
    }')" >&2
}

# What is to be done with the program needs these tools as well. Debian's wine is not on PATH.
for tool in ${NEED-}; do
  env PATH="$PATH:/usr/lib/wine" "$tool" --version >/dev/null 2>&1 || lacks "$tool" 'apt-get install' "$tool"
done

# Ends here where something is missing, or where no program is asked for.
say_what_is_used() {
  if [ "$lacking" ]; then
    if [ "${LACKING-}" ]; then printf '%s' "$lacking" >>"$LACKING"; else tell_what_is_lacking; fi
    exit 1
  fi
  rust=$("$sysroot/bin/rustc" --version | cut -d' ' -f1-2)
  if [ "$std" ]; then made='built from its source'; else made='as it came'; fi
  say "$rust in $sysroot, std for $target $made$1"
  [ "$program" ] || exit 0
  mkdir -p "$(dirname "$program")"
}

# Flags for rustc, with `separator` between them.
flags=
add() { for flag; do flags=$flags${flags:+$separator}$flag; done; }

# No path of this machine is to stay in the program.
add_remaps() {
  add "--remap-path-prefix=$target_dir=target" "--remap-path-prefix=$library=rust/library"
  for crates in "$cargo_home"/registry/src/*; do
    add "--remap-path-prefix=$crates=crates"
  done
}
refuse_paths() {
  if grep -aoF -e "$PWD" -e "$cargo_home" -e "$library" "$1"; then
    fail 'it holds a path of this machine (above)'
  fi
}
