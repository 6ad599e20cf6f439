# What build.sh and foreign.sh share. Both read this first, with `program` set.

cd "$(dirname "$0")/../.."
target_dir=$(realpath -m "${CARGO_TARGET_DIR:-target}")
export CARGO_TARGET_DIR="$target_dir"
cargo_home=${CARGO_HOME:-$HOME/.cargo}
debian_rust='apt-get install rustc-web cargo-web rust-web-src'

say() { printf 'static: %s\n' "$*"; }
fail() { say "$@" >&2; exit 1; }
missing=
lacks() { say "no $1: $2" >&2; missing=yes; }

# Ends here where something is missing, or where no program is asked for.
say_what_is_used() {
  [ -z "$missing" ] || exit 1
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
