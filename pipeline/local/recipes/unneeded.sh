#!/bin/sh
# For roots that are only unpacked. $1 is the root: tells apt that packages whose files such an image never uses (they
# serve maintainer scripts, or LLVM's just-in-time compiler) are there already, so that they are neither fetched nor unpacked.
set -eu
root=$1
shift
architecture=$(dpkg --print-architecture)
mkdir -p "$root/var/lib/dpkg"
for package in "$@"; do
    printf 'Package: %s\nStatus: install ok installed\nArchitecture: %s\nMulti-Arch: foreign\nVersion: 9999\nMaintainer: nobody\nDescription: left out\n\n' \
        "$package" "$architecture" >> "$root/var/lib/dpkg/status"
done
