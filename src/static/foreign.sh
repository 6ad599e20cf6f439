#!/bin/sh
# `make static OS=macos` and `OS=windows`: foreign.sh OS ARCH PROGRAM builds the program for another
# system, as PROGRAM. foreign.sh OS ARCH only says what it would use, or what is missing.
#
# zig compiles C and links, for it has the headers and import libraries of all systems in one package
# (`cargo zigbuild`). std for the target is rustup's, or else built from its source. No path of this
# machine stays in the program.
set -eu

system=$1 arch=$2 program=${3-}
. "$(dirname "$0")/common.sh"

case $system-$arch in
  macos-x86_64 | macos-aarch64) target=$arch-apple-darwin ;;
  windows-x86_64) target=$arch-pc-windows-gnullvm ;;
  *) fail "no program for $system on $arch: OS=macos is for x86_64 and aarch64, OS=windows for x86_64" ;;
esac

if [ -x "$target_dir/zig/bin/cargo-zigbuild" ]; then
  PATH=$target_dir/zig/bin:$PATH
  export CARGO_ZIGBUILD_PYTHON_PATH="$target_dir/zig/bin/python3"
fi
if ! command -v cargo-zigbuild >/dev/null; then
  python3 -c 'import ensurepip' 2>/dev/null || lacks "venv of Python" 'apt-get install' python3-venv
  lacks cargo-zigbuild "python3 -m venv $target_dir/zig && $target_dir/zig/bin/pip install" 'cargo-zigbuild ziglang'
fi

std=
for sysroot in "$(rustc --print sysroot)" /usr ''; do
  library=$sysroot/lib/rustlib/src/rust/library
  if ls "$sysroot/lib/rustlib/$target/lib"/libstd-*.rlib >/dev/null 2>&1; then break; fi
  if [ -d "$library/std" ]; then
    std='-Z build-std=std,panic_abort -Z build-std-features=optimize_for_size'
    break
  fi
done
if [ -z "$sysroot" ]; then
  if command -v rustup >/dev/null; then
    lacks "std for $target" 'rustup target add' "$target"
  else
    lacks "source of Rust's std" 'apt-get install' "$debian_rust"
  fi
fi
say_what_is_used ''

separator=' '
add_remaps
if [ "$system" = macos ]; then
  # The linker signs what it has made, so it has to strip it as well: a tool that strips it later
  # makes the signature a wrong one, and Macs with Apple's processors run nothing of that kind.
  export MACOSX_DEPLOYMENT_TARGET=11.0 CARGO_PROFILE_RELEASE_STRIP=none
  add -C force-unwind-tables=no -C link-arg=-Wl,-S,-x
fi
# shellcheck disable=SC2086 # Several words, or none.
env ${std:+RUSTC_BOOTSTRAP=1} CARGO="$sysroot/bin/cargo" RUSTC="$sysroot/bin/rustc" RUSTFLAGS="$flags" \
  cargo-zigbuild zigbuild --release --locked --target "$target" $std

built=$target_dir/$target/release/coze-workflow
[ "$system" != windows ] || built=$built.exe
if [ "$system" = windows ]; then
  # The time of linking is in its header, 8 bytes after the offset that is at 60: the same bytes always.
  header=$(od -An -tu4 -j60 -N4 "$built")
  printf '\0\0\0\0' | dd of="$built" bs=1 seek=$((header + 8)) conv=notrunc status=none
fi
refuse_paths "$built"
cp "$built" "$program"
say "$program: $(wc -c <"$program") bytes"
