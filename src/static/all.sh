#!/bin/sh
# `make skill`: all.sh MACHINE=PROGRAM... builds the programs of these machines. All are asked first
# what they miss: a build takes minutes.
set -eu

. "$(dirname "$0")/common.sh"

build() {
  machine=$1
  shift
  case $machine in
    *-macos) sh src/static/foreign.sh macos "${machine%-macos}" "$@" ;;
    *-windows.exe) sh src/static/foreign.sh windows "${machine%-windows.exe}" "$@" ;;
    *) sh src/static/build.sh "$machine" "$@" ;;
  esac
}

asked=$(mktemp)
failed=
for program; do
  LACKING=$asked build "${program%%=*}" >/dev/null || failed=$program
done
lacking=$(cat "$asked")
rm "$asked"
if [ "$failed" ]; then
  [ -z "$lacking" ] || tell_what_is_lacking
  here=$(uname -m)
  [ "$#${1%%=*}" = "1$here" ] || say "or for this machine alone: make skill ARCHES=$here OSES=linux" >&2
  exit 1
fi
for program; do
  build "${program%%=*}" "${program#*=}"
done
