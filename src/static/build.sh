#!/bin/sh
# `make static`: build.sh ARCH PROGRAM builds the program for Linux on ARCH, with all that it needs
# linked in, as PROGRAM. build.sh ARCH only says what it would use, or what is missing.
#
# musl, not glibc: glibc's resolver, linked in, still wants the machine's own for unusual
# nsswitch.conf entries, and it weighs a megabyte. Rust's std for musl is built here where its source
# is (rustup's rust-src, Debian's rust-web-src): without unwind tables and their readers it is the
# smaller one. Else rustup's own is taken. Start-up files and libc.a come with rustup's target, or
# with Debian's musl-dev. gcc links: musl-gcc can't make static-pie. No path of this machine stays in
# the program, so that one commit gives the same bytes wherever it is built.
set -eu

arch=$1 program=${2-}
. "$(dirname "$0")/common.sh"
target=$arch-unknown-linux-musl
work=$target_dir/$target

case $arch in
  x86_64) debian=amd64 ;;
  aarch64) debian=arm64 ;;
  *) fail "no program for $arch: ARCH is x86_64 or aarch64" ;;
esac
if [ "$arch" = "$(uname -m)" ]; then
  gcc=gcc gcc_packages='gcc libc6-dev' emulator=
  debian_musl='apt-get install' musl_package=musl-dev
else
  gcc=$arch-linux-gnu-gcc gcc_packages="gcc-$(echo "$arch" | tr _ -)-linux-gnu libc6-dev-$debian-cross"
  emulator=qemu-$arch-static
  debian_musl="dpkg --add-architecture $debian && apt-get update && apt-get install" musl_package=musl-dev:$debian
fi
command -v "$gcc" >/dev/null || lacks "$gcc" 'apt-get install' "$gcc_packages"
command -v readelf >/dev/null || lacks readelf 'apt-get install' binutils

# What is several words, or none, is split at the ends of its lines: paths may hold spaces.
IFS='
'
# Building std is not yet stable in Cargo; what is built without stays a stable Rust's work.
cargo() {
  # shellcheck disable=SC2086
  env ${std:+RUSTC_BOOTSTRAP=1} RUSTC="$sysroot/bin/rustc" "$sysroot/bin/cargo" "$@" \
    --locked --target "$target" $source $std
}

# Whether all crates can be had: from Cargo's cache, or std's from where its source is (Debian, and
# rustup from 1.97 on), or over the network. Cargo looks beside std's source for none, so it is shown
# one directory of these and of ours.
find_crates() {
  beside="--offline
--config=source.crates-io.replace-with='here'
--config=source.here.directory='$work/vendor'"
  for source in --offline "$beside" ''; do
    if [ "$source" = "$beside" ]; then
      [ "$std" ] && [ -d "$library/vendor" ] || continue
      rm -rf "$work/vendor"
      "$sysroot/bin/cargo" vendor --offline --locked --quiet --versioned-dirs "$work/vendor" >/dev/null 2>&1 || continue
      ln -s "$library"/vendor/* "$work/vendor" 2>/dev/null || :
    fi
    if unresolved=$(export RUSTC_BOOTSTRAP=1; cargo build --unit-graph -Zunstable-options 2>&1 >/dev/null); then
      return
    fi
  done
  return 1
}

# The first Rust, of the one on PATH and Debian's, with std's source or with a std ready; sets
# `sysroot`, `library`, `musl`, `std`, `source`.
find_rust() {
  for sysroot in "$(rustc --print sysroot)" /usr; do
    library=$sysroot/lib/rustlib/src/rust/library
    musl=$sysroot/lib/rustlib/$target/lib/self-contained
    [ -e "$musl/crt1.o" ] || musl=/usr/lib/$arch-linux-musl
    std=
    if [ "$1" = source ]; then
      [ -d "$library/std" ] && [ -e "$musl/crt1.o" ] || continue
      std='-Zbuild-std=std,panic_abort
-Zbuild-std-features=optimize_for_size'
    else
      ls "$sysroot/lib/rustlib/$target/lib"/libstd-*.rlib >/dev/null 2>&1 || continue
    fi
    if find_crates; then return; fi
  done
  return 1
}

if ! find_rust source && ! find_rust ready; then
  sysroot=$(rustc --print sysroot)
  if [ "${unresolved-}" ]; then
    printf '%s\n' "$unresolved" >&2
    fail 'crates are missing (above): make static once with a network brings them'
  fi
  if command -v rustup >/dev/null; then
    lacks "musl for Rust on $arch" 'rustup target add' "$target"
  else
    [ -d "$sysroot/lib/rustlib/src/rust/library/std" ] || lacks "source of Rust's std" 'apt-get install' "$debian_rust"
    [ -e "/usr/lib/$arch-linux-musl/crt1.o" ] || lacks "musl for $arch" "$debian_musl" "$musl_package"
  fi
fi
say_what_is_used "; musl in $musl; $gcc"

mkdir -p "$work"
separator=$(printf '\037')
add_remaps
add -C "linker=$gcc" "--remap-path-prefix=$work/vendor=crates"
# rustc adds the start-up files, which it looks for in the -L directories: rcrt1.o for static-pie,
# crt1.o for aarch64, of which it makes no static-pie.
add -L "$work" -L "$musl" -L "$(dirname "$("$gcc" -print-file-name=crtbeginS.o)")"
# A stripped program has no backtrace to show: so no tables for one, and an unwinder that finds no
# frame (libgcc's wants glibc). A std that came ready calls more of it, and has brought its own.
add -C force-unwind-tables=no
rm -f "$work/libunwind.a"
[ -z "$std" ] || printf 'int _Unwind_%s(void) { return 0; }\n' Backtrace GetIP GetCFA FindEnclosingFunction |
  "$gcc" -xc -c - -o "$work/libunwind.a"
if [ "$arch" = x86_64 ]; then
  "$gcc" -Os -ffreestanding -fPIC -fno-stack-protector -fcf-protection=none -c src/static/start.c -o "$work/start.o"
  add -C "link-arg=$work/start.o" -C link-arg=-Wl,--entry=start_packed,-z,pack-relative-relocs
fi

# ring's C is compiled by the same gcc, with musl's headers where they are.
musl_gcc=$arch-linux-musl-gcc
command -v "$musl_gcc" >/dev/null || musl_gcc=$gcc
export "CC_$(echo "$target" | tr - _)=$musl_gcc"
export CARGO_ENCODED_RUSTFLAGS="$flags"
cargo build --release
cp "$work/release/coze-workflow" "$program"

# What is promised of it.
if readelf -lW "$program" | grep INTERP || readelf -dW "$program" | grep NEEDED; then
  fail 'it still needs a shared library (above)'
fi
if [ "$arch" = x86_64 ] && ! readelf -hW "$program" | grep -q 'Type: *DYN'; then
  fail 'it is not position-independent'
fi
if readelf -SW "$program" | grep -F .symtab; then fail 'it is not stripped'; fi
refuse_paths "$program"
if [ -z "$emulator" ] || command -v "$emulator" >/dev/null; then
  $emulator "$program" --version >/dev/null
else
  say "not run, for want of $emulator: apt-get install qemu-user-static"
fi
say "$program: $(wc -c <"$program") bytes"
if [ -z "$std" ]; then
  say 'with the source of std it is a fifth smaller: rustup component add rust-src, then once more'
fi
